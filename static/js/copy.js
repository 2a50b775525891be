// Copy buttons. The clipboard needs a secure context, which a console on a plain address is not: then the text is
// copied the old way or, if that fails too, selected for the person to copy.
import { announce } from "./announce.js";

function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = window.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

function copyTheOldWay(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  area.setAttribute("readonly", "");
  document.body.append(area);
  area.select();
  let done = false;
  try {
    done = document.execCommand("copy");
  } catch {
    done = false;
  }
  area.remove();
  return done;
}

/** Copy a text; resolves to whether it worked. */
export async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // refused by the browser: the old way may still be allowed
    }
  }
  return copyTheOldWay(text);
}

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-copy], [data-copy-text]") : null;
  if (!button) return;
  const source = button.dataset.copy ? document.querySelector(button.dataset.copy) : null;
  const text = button.dataset.copyText ?? source?.dataset.copyValue ?? source?.value ?? source?.textContent ?? "";
  const done = await copyText(text.trim());
  if (!done && source) select(source);
  const word = button.querySelector("[data-copy-word]");
  const message = done ? "Copied" : "Selected: press Ctrl+C";
  announce(message);
  if (!word || word.dataset.before) return;
  word.dataset.before = word.textContent;
  word.textContent = message;
  window.setTimeout(() => {
    word.textContent = word.dataset.before;
    delete word.dataset.before;
  }, 2000);
});
