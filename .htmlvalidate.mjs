// Rules for the HTML of every page; tests/integration/test_html.py runs them.
export default {
  root: true,
  extends: ["html-validate:recommended", "html-validate:document"],
  rules: {
    "form-dup-name": ["error", { shared: ["radio", "checkbox", "button", "submit"] }],
    "no-trailing-whitespace": "off", // what template tags leave behind
    "prefer-native-element": ["error", { exclude: ["region"] }], // a box or a <pre> that scrolls is a named region
    "require-sri": ["error", { target: "crossorigin" }], // the pages' own files come from the page's own host
    "wcag/h32": "off", // a switch that a script listens to has no button; another form's button may send a form
  },
};
