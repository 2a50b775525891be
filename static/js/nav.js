// The navigation drawer of small screens, and messages that can be closed.

const shell = document.querySelector(".cl-shell");
const opener = document.querySelector("[data-nav-open]");

function setOpen(open) {
  if (!shell || !opener) return;
  if (open) shell.dataset.nav = "open";
  else delete shell.dataset.nav;
  opener.setAttribute("aria-expanded", String(open));
  document.querySelector(".cl-main")?.toggleAttribute("inert", open);
  if (open) document.querySelector("[data-nav-close]")?.focus();
  else opener.focus();
}

function isOpen() {
  return shell?.dataset.nav === "open";
}

document.addEventListener("click", (event) => {
  if (!(event.target instanceof Element)) return;
  if (event.target.closest("[data-nav-open]")) setOpen(true);
  else if (isOpen() && (event.target.closest("[data-nav-close]") || !event.target.closest(".cl-side"))) setOpen(false);
  const dismiss = event.target.closest("[data-dismiss]");
  if (dismiss) dismiss.closest(".cl-message, [data-dismissible]")?.remove();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && isOpen()) setOpen(false);
});

// A page may name its place in the navigation where its address does not say it.
const named = shell?.dataset.navActive?.trim().toLowerCase();
if (named) {
  for (const link of document.querySelectorAll(".cl-nav a")) {
    if (link.dataset.key === named) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

// On a small screen the tabs scroll sideways: bring the current one into sight.
for (const tab of document.querySelectorAll(".cl-tabs a[aria-current]")) {
  const bar = tab.closest(".cl-tabs");
  const side = tab.offsetLeft + tab.offsetWidth - bar.clientWidth;
  if (side > 0) bar.scrollLeft = side + 24;
}
