// Adding a dataset on the worker's own page: exchange the ticket, send the file in chunks, check it.
import { csrfHeaders, fetchJson } from "./http.js";
import { bytes, number } from "./format.js";
import { sha256Hex } from "./sha256.js";

const root = document.querySelector("#add");
const chunkBytes = Number(root.dataset.chunk);
const problem = document.querySelector("#add-problem");
const bar = document.querySelector("#upload");
const barText = document.querySelector("#upload-text");
const pauseButton = document.querySelector("#pause");
const uploads = { train: null, heldout: null };
let paused = false;

function show(error) {
  problem.replaceChildren();
  if (!error) return;
  const box = document.createElement("section");
  box.className = "cl-problem cl-problem-danger mb-3";
  const body = document.createElement("div");
  body.className = "cl-problem-body";
  for (const [className, text] of [
    ["cl-problem-title", `${error.code ? `${error.code}: ` : ""}${error.message}`],
    ["cl-problem-text", error.remedy ?? ""],
  ]) {
    const line = document.createElement("p");
    line.className = className;
    line.textContent = text;
    body.append(line);
  }
  box.append(body);
  problem.append(box);
  problem.scrollIntoView({ block: "nearest" });
}

function openForm() {
  document.querySelector("#add-locked").hidden = true;
  document.querySelector("#add-form").hidden = false;
}

async function exchangeTicket() {
  const match = /^#t=(.+)$/.exec(location.hash);
  if (!match) return;
  history.replaceState(null, "", location.pathname);
  try {
    await fetchJson("/ticket", { method: "POST", body: JSON.stringify({ ticket: match[1] }) });
    openForm();
  } catch (error) {
    if (root.dataset.mayAdd !== "yes") show(error);
  }
}

async function sendChunk(id, offset, chunk) {
  const digest = await sha256Hex(chunk);
  const answer = await fetch(`/uploads/${id}?offset=${offset}`, {
    method: "PUT",
    body: chunk,
    headers: { ...csrfHeaders(), Accept: "application/json", "X-Chunk-SHA256": digest },
  });
  const data = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(data.message), data, { status: answer.status });
  return data.received;
}

async function send(file) {
  const facts = { name: file.name, size: file.size, changed: Math.max(0, Math.trunc(file.lastModified)) };
  let state = await fetchJson("/uploads", { method: "POST", body: JSON.stringify(facts) });
  let failures = 0;
  document.querySelector("#progress-box").hidden = false;
  pauseButton.hidden = false;
  bar.max = Math.max(file.size, 1);
  while (state.received < file.size) {
    if (paused) {
      await new Promise((resume) => pauseButton.addEventListener("click", resume, { once: true }));
      continue;
    }
    const chunk = await file.slice(state.received, state.received + chunkBytes).arrayBuffer();
    try {
      state.received = await sendChunk(state.id, state.received, chunk);
      failures = 0;
    } catch (error) {
      if (error.code && !["CL-1221", "CL-1222"].includes(error.code)) throw error;
      failures += 1;
      if (failures > 8) throw error;
      barText.textContent = "Connection lost. Resuming in a moment";
      await new Promise((resume) => setTimeout(resume, 500 * failures));
      state = await fetchJson(`/uploads/${state.id}`).catch(() => state);
    }
    bar.value = state.received;
    barText.textContent = `${file.name}: ${bytes(state.received)} of ${bytes(file.size)}`;
  }
  bar.value = bar.max;
  pauseButton.hidden = true;
  barText.textContent = `${file.name}: all ${bytes(file.size)} uploaded to this worker`;
  return state.id;
}

function mappingField(role, columns, chosen) {
  const box = document.createElement("div");
  const label = document.createElement("label");
  label.className = "form-label";
  label.htmlFor = `map-${role}`;
  label.textContent = `Column of the ${role}`;
  const select = document.createElement("select");
  select.className = "form-select";
  select.id = `map-${role}`;
  select.dataset.role = role;
  select.append(new Option("none", ""), ...columns.map((column) => new Option(column, column, false, column === chosen)));
  box.append(label, select);
  return box;
}

async function describe(id) {
  const found = await fetchJson(`/uploads/${id}/columns`);
  const mapping = found.mapping ?? {};
  let roles = found.mapping ? Object.keys(mapping) : ["prompt", "completion", "messages", "text", "label"];
  if (mapping.text && !mapping.label) roles = [...roles, "label"]; // any column may hold the labels
  document.querySelector("#mapping").replaceChildren(...roles.map((role) => mappingField(role, found.columns, mapping[role])));
  document.querySelector("#mapping-note").textContent = found.mapping
    ? "The columns were recognised. Correct them if necessary."
    : "Choose the columns for prompt and completion, messages, text and label, or text.";
  document.querySelector("#check-form").hidden = false;
  document.querySelector("#check-form").scrollIntoView({ behavior: "smooth", block: "start" });
}

async function take(part, file) {
  if (!file) return;
  show(null);
  if (part === "train") document.querySelector("#check-form").hidden = true;
  try {
    uploads[part] = null;
    uploads[part] = await send(file);
    if (part === "heldout") document.querySelector("#fraction-box").hidden = true;
    if (uploads.train) await describe(uploads.train);
  } catch (error) {
    show(error);
  }
}

async function check(event) {
  event.preventDefault();
  show(null);
  const state = document.querySelector("#check-state");
  const button = document.querySelector("#check");
  const mapping = {};
  for (const select of document.querySelectorAll("#mapping select")) if (select.value) mapping[select.dataset.role] = select.value;
  button.disabled = true;
  try {
    let job = await fetchJson(`/uploads/${uploads.train}/check`, {
      method: "POST",
      body: JSON.stringify({
        mapping,
        heldout_upload: uploads.heldout,
        model: document.querySelector("#model").value,
        eval_fraction: Number(document.querySelector("#fraction").value),
      }),
    });
    while (!job.done) {
      state.textContent = job.rows ? `${number(job.rows)} rows checked` : "Checking";
      await new Promise((resume) => setTimeout(resume, 250));
      job = await fetchJson(`/uploads/${uploads.train}/check`);
    }
    if (job.error) throw Object.assign(new Error(job.error.message), job.error);
    location.assign(`/staged/${job.staged_id}`);
  } catch (error) {
    state.textContent = "";
    show(error);
  } finally {
    button.disabled = false;
  }
}

const drop = document.querySelector("#drop");
for (const kind of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("is-over", kind === "dragover");
  });
}
drop.addEventListener("drop", (event) => take("train", event.dataTransfer.files[0]));
for (const [id, part] of [["#file", "train"], ["#heldout", "heldout"]]) {
  const input = document.querySelector(id);
  // Opening the choice forgets the last one: the same file, corrected meanwhile, can be chosen again.
  input.addEventListener("click", () => (input.value = ""));
  input.addEventListener("change", () => take(part, input.files[0]));
}
document.querySelector("#check-form").addEventListener("submit", check);
for (const button of document.querySelectorAll("[data-discard]")) {
  button.addEventListener("click", async () => {
    try {
      await fetchJson(`/uploads/${button.dataset.discard}`, { method: "DELETE" });
      const list = button.closest("ul");
      button.closest("li").remove();
      if (!list.children.length) list.previousElementSibling.remove();
      document.querySelector("#file").focus();
    } catch (error) {
      show(error);
    }
  });
}
pauseButton.addEventListener("click", () => {
  paused = !paused;
  pauseButton.textContent = paused ? "Continue" : "Pause";
});
await exchangeTicket();
