// Confirm dialogs: native <dialog> elements, opened by data-dialog-open="ID". The dangerous button is never focused first.

function syncTyped(form) {
  const word = form.dataset.typed;
  const button = form.querySelector("[data-dialog-confirm]");
  if (!word || !button) return;
  button.disabled = form.elements.namedItem("typed")?.value.trim() !== word;
}

/** Open a dialog of the page by its id. */
export function openDialog(id) {
  const dialog = document.getElementById(id);
  if (!(dialog instanceof HTMLDialogElement) || dialog.open) return;
  for (const form of dialog.querySelectorAll("form[data-typed]")) syncTyped(form);
  dialog.showModal();
  (dialog.querySelector("[autofocus]") ?? dialog.querySelector("[data-dialog-close]"))?.focus();
}

document.addEventListener("click", (event) => {
  if (!(event.target instanceof Element)) return;
  const opener = event.target.closest("[data-dialog-open]");
  if (opener) {
    event.preventDefault();
    openDialog(opener.dataset.dialogOpen);
    return;
  }
  const closer = event.target.closest("[data-dialog-close]");
  if (closer) closer.closest("dialog")?.close();
  else if (event.target instanceof HTMLDialogElement) closeFromBackdrop(event);
});

function closeFromBackdrop(event) {
  const box = event.target.getBoundingClientRect();
  const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
  if (!inside && event.detail > 0) event.target.close();
}

document.addEventListener("input", (event) => {
  const form = event.target instanceof Element ? event.target.closest("form[data-typed]") : null;
  if (form) syncTyped(form);
});
