// Forms: the error summary takes the focus, links of it focus their field, a form is sent once.

document.querySelector("[data-focus-on-load]")?.focus();

document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest(".cl-problem-list a[href^='#']") : null;
  if (!link) return;
  const field = document.getElementById(link.hash.slice(1));
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.scrollIntoView({ block: "center" });
});

document.addEventListener("click", (event) => {
  const control = event.target instanceof Element ? event.target.closest("[aria-disabled='true']") : null;
  if (control) event.preventDefault();
});

// data-send-once: a second click does not send twice.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.dataset.sendOnce === undefined) return;
  if (form.dataset.sent !== undefined) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "";
  window.setTimeout(() => delete form.dataset.sent, 5000);
});

// data-submit-on-change: filters of a list apply at once, and still work by their button without a script.
// A form that changes something is sent by its button alone: a slip in a list must not be an act.
document.addEventListener("change", (event) => {
  const form = event.target instanceof Element ? event.target.closest("form[data-submit-on-change]") : null;
  if (form?.method === "get") form.requestSubmit();
});
