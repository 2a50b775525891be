// Tells people of a change: to screen readers through the page's live region, to all through a toast.

const ANNOUNCE_EVERY_MS = 3000;
let last = 0;
let waiting = null;

/** Say a sentence to screen readers, politely and at most every three seconds; the newest sentence wins. */
export function announce(sentence) {
  const region = document.getElementById("live-region");
  if (!region) return;
  window.clearTimeout(waiting);
  const pause = Math.max(0, last + ANNOUNCE_EVERY_MS - Date.now());
  waiting = window.setTimeout(() => {
    last = Date.now();
    region.textContent = sentence;
  }, pause);
}

/** Show a message in the corner: tone is info, success, warning or error. Errors stay until closed. */
export function toast(sentence, tone = "info", seconds = 8) {
  const place = document.getElementById("toasts");
  if (!place) return;
  const box = document.createElement("div");
  box.className = `cl-message cl-message-${tone}`;
  box.setAttribute("role", tone === "error" ? "alert" : "status");
  const text = document.createElement("div");
  text.className = "cl-message-text";
  text.textContent = sentence;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "cl-message-close";
  close.dataset.dismiss = "";
  close.setAttribute("aria-label", "Dismiss message");
  close.textContent = "×";
  box.append(text, close);
  place.append(box);
  if (tone !== "error") window.setTimeout(() => box.remove(), seconds * 1000);
}
