// Shows, before anything is sent, exactly what would be sent.
import { csrfHeaders } from "./http.js";

const form = document.querySelector("#confirm-form");
const panel = document.querySelector("#leaves");
let latest = 0;

async function propose() {
  latest += 1;
  const mine = latest;
  if (!form.elements.name.value.trim()) {
    panel.replaceChildren();
    return;
  }
  const answer = await fetch(form.dataset.propose, { method: "POST", body: new FormData(form), headers: csrfHeaders() });
  const text = await answer.text();
  if (mine !== latest || !answer.ok) return;
  // The answer is this console's own template; parsed apart and moved, so that no markup of a name can run.
  panel.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
}

form.addEventListener("input", propose);
await propose();
