// Sets the theme before the first paint. A plain script, since a module would run too late.
(() => {
  "use strict";
  const KEY = "cutlayer-theme";
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const WORDS = { light: "light", dark: "dark", auto: "system" };

  function stored() {
    try {
      const value = window.localStorage.getItem(KEY);
      return value === "light" || value === "dark" ? value : "auto";
    } catch {
      return "auto"; // storage may be switched off; the system's theme is then the only one
    }
  }

  function apply(choice) {
    const theme = choice === "auto" ? (system.matches ? "dark" : "light") : choice;
    root.setAttribute("data-bs-theme", theme);
    if (choice === "auto") root.removeAttribute("data-theme-choice");
    else root.setAttribute("data-theme-choice", choice);
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      button.setAttribute("aria-label", `Theme: ${WORDS[choice]}`);
      button.title = `Theme: ${WORDS[choice]}`;
    }
    document.dispatchEvent(new CustomEvent("cl:theme", { detail: { theme } }));
  }

  let choice = stored();
  apply(choice);
  system.addEventListener("change", () => apply(choice));
  document.addEventListener("DOMContentLoaded", () => apply(choice));
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element) || !event.target.closest("[data-theme-toggle]")) return;
    choice = { auto: "light", light: "dark", dark: "auto" }[choice];
    try {
      if (choice === "auto") window.localStorage.removeItem(KEY);
      else window.localStorage.setItem(KEY, choice);
    } catch {
      // the choice then lasts for this page alone
    }
    apply(choice);
  });
})();
