// A run's page, live: curves grow from the numbered records; the parts in words are drawn by the hub and fetched again
// when something changed, so that a reload and another browser show the same.
import { announce } from "./announce.js";
import { SeriesChart } from "./charts.js";
import { LiveFeed } from "./live.js";
import { refreshTimes } from "./time.js";

const PARTS_MS = 1500; // the least time between two fetches of the parts
const SCORES = ["accuracy", "macro_f1"]; // of a task with labels, each with a chart of its own
const MARKED = {
  "checkpoint.saved": "checkpoint",
  "participant.dropped": "stopped responding",
  "participant.returned": "back",
  "run.paused": "paused",
  "run.recovering": "recovering",
  "run.failing": "failure",
};

class RunPage {
  constructor(root) {
    this.root = root;
    this.drawn = new Map();
    this.markers = new Map();
    const lanes = JSON.parse(document.querySelector("#run-places").textContent);
    this.clients = lanes.filter((lane) => lane.role === "client");
    this.chart = new SeriesChart(document.querySelector("#loss-chart"), { metric: "Loss" });
    this.chart.setSeries([
      ...this.clients.map(({ key, label, place }) => ({ key, label: `${label}, training`, place })),
      ...this.clients.map(({ key, label, place }) => ({ key: `${key}/eval`, label: `${label}, held-out`, place, kind: "eval" })),
    ]);
    this.scores = new Map(SCORES.map((name) => [name, document.querySelector(`#${name}-chart`)]).filter(([, frame]) => frame));
    for (const [name, frame] of this.scores) {
      const chart = new SeriesChart(frame);
      chart.setSeries(this.clients.map(({ key, label, place }) => ({ key, label, place, kind: "eval" })));
      this.scores.set(name, chart);
    }
    this.#pointFromTimeline();
  }

  start() {
    const { snapshot, records, socket, live } = this.root.dataset;
    this.feed = new LiveFeed({
      snapshotUrl: snapshot,
      recordsUrl: records,
      socketUrl: socket,
      onSnapshot: (shot) => this.#takeSnapshot(shot),
      onRecords: (batch) => this.#takeRecords(batch),
      onState: (state) => {
        if (state === "ended" || state === "live") this.#refreshSoon();
      },
    });
    this.feed.start();
    if (!live) window.setTimeout(() => this.feed.stop(), 10000); // an ended run: the snapshot is all there is
  }

  #takeSnapshot(shot) {
    for (const { key } of this.clients) {
      const curves = shot.series?.[key] ?? {};
      this.chart.replace(key, points(curves.loss));
      this.chart.replace(`${key}/eval`, points(curves.eval_loss));
      for (const [name, chart] of this.scores) chart.replace(key, points(curves[name]));
    }
    this.markers.clear();
    for (const record of shot.events ?? []) this.#mark(record);
    this.#showMarkers();
  }

  #takeRecords(batch) {
    const fresh = new Map();
    let changed = false;
    for (const record of batch) {
      const value = record.payload?.loss;
      if (record.kind === "metric" || record.kind === "eval") {
        const key = record.kind === "eval" ? `${record.party}/eval` : record.party;
        for (const [name, chart] of this.scores) {
          const score = record.kind === "eval" ? record.payload?.[name] : null;
          if (Number.isFinite(score)) chart.append(record.party, [{ step: record.step, value: score, time: record.seconds }]);
        }
        if (Number.isFinite(value)) fresh.set(key, [...(fresh.get(key) ?? []), { step: record.step, value, time: record.seconds }]);
      }
      if (record.kind !== "metric" && record.kind !== "log") changed = true;
      if (record.kind === "event") this.#mark(record);
    }
    for (const [key, list] of fresh) this.chart.append(key, list);
    this.#showMarkers();
    if (changed || fresh.size) this.#refreshSoon();
  }

  #mark(record) {
    const label = MARKED[record.payload?.name];
    if (label && record.step) this.markers.set(record.seq, { step: record.step, time: record.seconds, label, tone: record.payload.error ? "danger" : "neutral" });
  }

  #showMarkers() {
    this.chart.setMarkers([...this.markers.values()]);
  }

  // One fetch at a time, at most one in PARTS_MS. What changes while one is on its way may not be in its answer: it is
  // followed by another.
  #refreshSoon() {
    if (this.fetching) this.again = true;
    if (this.timer) return;
    const wait = Math.max(0, (this.fetchedAt ?? 0) + PARTS_MS - Date.now());
    this.timer = window.setTimeout(async () => {
      this.fetching = true;
      await this.#refresh();
      this.fetching = false;
      this.timer = 0;
      if (this.again) {
        this.again = false;
        this.#refreshSoon();
      }
    }, wait);
  }

  async #refresh() {
    this.fetchedAt = Date.now();
    try {
      const response = await fetch(this.root.dataset.parts, { credentials: "same-origin", redirect: "error" });
      if (response.ok) this.#draw(await response.text());
      else if (response.status >= 500) this.again = true;
    } catch {
      this.again = true; // the hub is away; the pill says so
    }
  }

  #draw(html) {
    const sentence = document.querySelector(".cl-run-sentence")?.textContent;
    const page = new DOMParser().parseFromString(html, "text/html");
    for (const part of page.body.children) {
      const target = document.getElementById(part.id);
      if (!target || this.drawn.get(part.id) === part.innerHTML) continue;
      this.drawn.set(part.id, part.innerHTML);
      replace(target, part);
    }
    refreshTimes(this.root);
    dropOutlived(document.querySelector("#live-status")?.dataset.state ?? "");
    const now = document.querySelector(".cl-run-sentence")?.textContent;
    if (now && now !== sentence) announce(now);
  }

  #pointFromTimeline() {
    const timeline = document.querySelector("#live-timeline");
    const show = (event) => {
      const step = event.target.closest?.("[data-step]")?.dataset.step;
      this.chart.highlight(step === undefined ? null : Number(step));
    };
    timeline.addEventListener("pointerover", show);
    timeline.addEventListener("pointerleave", () => this.chart.highlight(null));
  }
}

function points(list) {
  return (list ?? []).map(([step, value, time]) => ({ step, value, time }));
}

/** Take away the notices that were true of an earlier state of the run alone. */
function dropOutlived(state) {
  for (const notice of document.querySelectorAll("#messages [data-true-in]")) {
    if (!notice.dataset.trueIn.split(" ").includes(state)) notice.remove();
  }
}

/** Put a fetched part in place of the old one; opened details stay open, and what has the focus keeps it. */
function replace(target, part) {
  if (target.contains(document.activeElement) && document.activeElement !== document.body && target.id === "live-actions") return;
  const open = [...target.querySelectorAll("details")].map((details) => details.open);
  const scroll = target.querySelector(".cl-timeline")?.scrollTop ?? 0;
  target.className = part.className;
  Object.assign(target.dataset, part.dataset); // the run's state, by which notices are judged, is among them
  target.innerHTML = part.innerHTML;
  if (open.length) [...target.querySelectorAll("details")].forEach((details, place, all) => {
    const before = open[place - (all.length - open.length)];
    if (before !== undefined) details.open = before || place === 0;
  });
  const list = target.querySelector(".cl-timeline");
  if (list) list.scrollTop = scroll;
}

const root = document.querySelector("#run-live");
if (root) new RunPage(root).start();
