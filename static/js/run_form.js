// The configure form: a click on the picture of the layers moves the nearer cut; the number inputs stay the truth.

const inputs = { head: document.querySelector("#f-split-head_layers"), tail: document.querySelector("#f-split-tail_layers") };

document.addEventListener("click", (event) => {
  const cell = event.target.closest?.("#split-picture .cl-layer[data-layer]");
  if (!cell || !inputs.head || !inputs.tail) return;
  const layers = document.querySelectorAll("#split-picture .cl-layer[data-layer]").length;
  const layer = Number(cell.dataset.layer);
  const atHead = layer < layers / 2;
  const input = atHead ? inputs.head : inputs.tail;
  const held = atHead ? layer + 1 : layers - layer;
  input.value = String(Number(input.value) === held ? held - 1 : held);
  input.dispatchEvent(new Event("input", { bubbles: true }));
});

// The advanced fields stay as the person left them, for this browser.
const advanced = document.querySelector("#show-advanced");
if (advanced) {
  advanced.checked = window.localStorage.getItem("cl-run-advanced") === "yes";
  advanced.addEventListener("change", () => window.localStorage.setItem("cl-run-advanced", advanced.checked ? "yes" : "no"));
}

// The fields of a strategy are there while it is chosen; what was typed into the others stays with them.
document.addEventListener("input", (event) => {
  for (const own of document.querySelectorAll(`[data-shown-by="${event.target.id}"]`)) {
    const { type, checked, value } = event.target;
    own.hidden = type === "checkbox" ? !checked : !own.dataset.shownFor.split(" ").includes(value);
  }
});

// An organisation's own field shows in grey what it takes over as long as it is empty.
document.addEventListener("input", (event) => {
  for (const own of document.querySelectorAll(`[data-inherits="${event.target.id}"]`)) own.placeholder = event.target.value;
});

// The value that mends a problem is one click away.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-fills]");
  const control = button && document.getElementById(button.dataset.fills);
  if (!control) return;
  control.value = button.dataset.value;
  control.dispatchEvent(new Event("input", { bubbles: true }));
  control.focus();
});

// A problem in the summary leads to its control.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-goes-to]");
  const control = link && document.getElementById(link.hash.slice(1));
  if (!control) return;
  if (advanced && !control.offsetParent) advanced.checked = true;
  event.preventDefault();
  control.scrollIntoView({ block: "center" });
  control.focus({ preventScroll: true });
});

// A message that an htmx answer has put beside a field is tied to its control.
function tieMessages() {
  for (const message of document.querySelectorAll(".cl-cfg-error[id$='-error']")) {
    const control = document.getElementById(message.id.slice(0, -"-error".length));
    if (!control) continue;
    const words = (control.getAttribute("aria-describedby") ?? "").split(" ").filter((id) => id && id !== message.id);
    if (!message.hidden) words.push(message.id);
    control.classList.toggle("is-invalid", !message.hidden);
    if (message.hidden) control.removeAttribute("aria-invalid");
    else control.setAttribute("aria-invalid", "true"); // an empty value reads as "false"
    if (words.length) control.setAttribute("aria-describedby", words.join(" "));
    else control.removeAttribute("aria-describedby");
  }
}
tieMessages();
document.addEventListener("htmx:oobAfterSwap", tieMessages);

// A page that came back with a problem opens where the problem is told.
const first = document.querySelector("[data-focus-first]");
if (first) {
  first.scrollIntoView({ block: "center" });
  first.focus({ preventScroll: true });
}
