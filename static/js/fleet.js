// Pages of workers and datasets: when the hub says that something of the organisation changed, the parts of the page
// that listen to "fleet-changed" ask for themselves anew (htmx). Without the socket they do so every few seconds.
import { announce } from "./announce.js";
import { socketAddress } from "./live.js";

const BACKOFF_MS = [1000, 2000, 4000, 8000, 15000];
const FINAL_CODES = new Set([4401, 4403, 4404]);
const GATHER_MS = 300; // several changes at once are one
let failures = 0;
let timer = 0;

function ring(detail) {
  window.clearTimeout(timer);
  timer = window.setTimeout(() => document.body.dispatchEvent(new CustomEvent("fleet-changed", { detail })), GATHER_MS);
}

function connect() {
  const socket = new WebSocket(socketAddress("/ws/fleet/"));
  socket.addEventListener("open", () => {
    if (failures > 0) ring({ what: "all" }); // whatever changed meanwhile
    failures = 0;
  });
  socket.addEventListener("message", (event) => {
    const message = JSON.parse(event.data);
    if (message.type === "changed") ring({ what: message.what, id: message.id });
  });
  socket.addEventListener("close", (event) => {
    if (FINAL_CODES.has(event.code)) return;
    window.setTimeout(connect, BACKOFF_MS[Math.min(failures, BACKOFF_MS.length - 1)]);
    failures += 1;
  });
}

connect();

// The page that shows a token once has an address of its own that does not: a reload must not make another token.
const lasting = document.querySelector("[data-lasting-url]");
if (lasting) window.history.replaceState(null, "", lasting.dataset.lastingUrl);

// Say aloud when a step of the checklist is done.
let done = new Set([...document.querySelectorAll("[data-step-done]")].map((step) => step.dataset.stepDone));
document.body.addEventListener("htmx:afterSwap", () => {
  const now = new Set([...document.querySelectorAll("[data-step-done]")].map((step) => step.dataset.stepDone));
  for (const name of now) if (!done.has(name)) announce(`${name}: done.`);
  done = now;
});
