// Places the reason of a control that cannot be used beside it, inside the window, whatever scrolls around it.
// Without this script the reason shows at the foot of the window.

const ROOM = 8;

function place(box) {
  const text = box.querySelector(".cl-why-text");
  if (!text) return;
  const anchor = box.getBoundingClientRect();
  const size = text.getBoundingClientRect();
  const left = Math.min(Math.max(anchor.left, ROOM), window.innerWidth - size.width - ROOM);
  const below = anchor.bottom + ROOM;
  const top = below + size.height > window.innerHeight ? anchor.top - size.height - ROOM : below;
  text.style.inset = "auto";
  text.style.left = `${left}px`;
  text.style.top = `${top}px`;
}

for (const name of ["pointerover", "focusin"]) {
  document.addEventListener(name, (event) => {
    const box = event.target instanceof Element ? event.target.closest(".cl-why") : null;
    if (box) place(box);
  });
}

// Escape hides the reason until the pointer or the focus comes back (WCAG 1.4.13).
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const box of document.querySelectorAll(".cl-why")) {
    if (!box.matches(":hover, :focus-within")) continue;
    box.dataset.quiet = "";
    const wake = () => delete box.dataset.quiet;
    box.addEventListener("pointerleave", wake, { once: true });
    box.addEventListener("focusout", wake, { once: true });
  }
});
