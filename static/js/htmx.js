// htmx: its configuration stands in the page's head (no eval, no inline styles, own origin only). Here: its failures.
import { toast } from "./announce.js";

document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail?.xhr?.status;
  toast(status === 403 ? "You can't do that here." : `The hub returned an error (${status}). Nothing was changed.`, "error");
});

document.addEventListener("htmx:sendError", () => {
  toast("The hub can't be reached. What you typed is still here. Try again in a moment.", "warning");
});

// A form that comes back with errors answers 422: show it like any other answer.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail?.xhr?.status === 422) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});
