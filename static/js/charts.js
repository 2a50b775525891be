// A chart of series that grow: raw values faint, smoothed values bold, one colour, dash and shape an organisation.
//
//   const chart = new SeriesChart(document.querySelector("#loss"), { metric: "Loss" });
//   chart.setSeries([{ key: "clinic-a", label: "Clinic A", place: 0 }, { key: "eval", label: "Evaluation", kind: "eval", place: 7 }]);
//   chart.append("clinic-a", [{ step: 1, value: 2.31, time: 0.8 }]);   // time: seconds since the run's start
//   chart.setMarkers([{ step: 100, label: "checkpoint saved" }]);
//
// The frame comes from {% loss_chart %}. Drag selects a range, a double click shows all of it again.
import uPlot from "../vendor/uplot/uPlot.esm.js";
import { duration, number } from "./format.js";
import { cssColour, orgLook, shapeElement, shapePath } from "./palette.js";
import { describe, logTicks, lowerBound, Smoother, thin } from "./series.js";

const HEIGHT = 280;
const FRAME_MS = 200;
const MARKS = 9;
const TABLE_ROWS = 40;
const STEP_TICKS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6];
const TIME_TICKS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 172800, 604800];
const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif';

export class SeriesChart {
  constructor(element, { metric = element.dataset.metric ?? "Loss", smoothing = 0.9, height = HEIGHT } = {}) {
    this.element = element;
    this.metric = metric;
    this.height = height;
    this.options = { smoothing, scale: "linear", axis: "step" };
    this.series = new Map();
    this.markers = [];
    this.range = null;
    this.parts = Object.fromEntries([...element.querySelectorAll("[data-chart]")].map((part) => [part.dataset.chart, part]));
    this.#listen();
    this.#draw();
  }

  /** Say which series there are: {key, label, place, kind: "train" | "eval"}. Points of known keys are kept. */
  setSeries(list) {
    const before = this.series;
    this.series = new Map();
    for (const { key, label, place = 0, kind = "train" } of list) {
      const old = before.get(key);
      this.series.set(key, { key, label, place, kind, steps: [], values: [], times: [], hidden: false, ...old, ...{ label, place, kind } });
    }
    this.#legend();
    this.#later();
  }

  /** Add points to a series, in the order of their steps. A step that is there already was done again, by a newer
   * attempt or as a correction: it and what followed it make way. */
  append(key, points) {
    const series = this.series.get(key);
    if (!series) return;
    for (const { step, value, time = null } of points) {
      if (step <= series.steps.at(-1)) {
        const length = lowerBound(series.steps, step);
        for (const list of [series.steps, series.values, series.times]) list.length = length;
        series.smoother = null; // average anew
      }
      series.steps.push(step);
      series.values.push(Number.isFinite(value) ? value : null);
      series.times.push(time ?? step);
    }
    this.#later();
  }

  /** Replace all points of a series. */
  replace(key, points) {
    const series = this.series.get(key);
    if (!series) return;
    series.steps = [];
    series.values = [];
    series.times = [];
    series.smoother = null;
    this.append(key, points);
  }

  /** Mark moments on the x axis: {step, time, label, tone}. */
  setMarkers(markers) {
    this.markers = markers;
    this.#later();
  }

  /** Move the cursor to a step, as when an entry of the timeline is pointed at; null removes it. */
  highlight(step) {
    if (!this.plot) return;
    const left = step === null ? -10 : this.plot.valToPos(step, "x");
    this.plot.setCursor({ left, top: step === null ? -10 : this.height / 3 });
  }

  /** Change smoothing, scale or axis. */
  set(option, value) {
    this.options[option] = option === "smoothing" ? Number(value) : value;
    if (option === "axis") this.range = null;
    this.#rebuild();
  }

  destroy() {
    this.observer.disconnect();
    document.removeEventListener("cl:theme", this.onTheme);
    this.plot?.destroy();
  }

  #listen() {
    this.element.addEventListener("change", (event) => {
      const option = event.target.dataset?.chart;
      if (option in this.options) this.set(option, event.target.value);
    });
    this.parts.table?.addEventListener("click", () => this.#toggleTable());
    this.parts.plot.addEventListener("dblclick", () => this.#zoom(null));
    this.onTheme = () => {
      this.#legend();
      this.#rebuild();
    };
    document.addEventListener("cl:theme", this.onTheme);
    this.observer = new ResizeObserver(() => {
      const width = this.parts.plot.clientWidth;
      if (this.plot && width && Math.abs(width - this.plot.width) > 1) this.#rebuild();
    });
    this.observer.observe(this.parts.plot);
  }

  #later() {
    if (this.timer) return;
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      this.#draw();
    }, FRAME_MS);
  }

  #rebuild() {
    this.plot?.destroy();
    this.plot = null;
    this.#draw();
  }

  #zoom(range) {
    this.range = range;
    this.#draw();
  }

  #shown() {
    return [...this.series.values()].filter((series) => !series.hidden && series.steps.length);
  }

  // One table of aligned columns for uPlot: for each series its raw and its smoothed values, thinned to the plot's width.
  #columns(shown) {
    const width = Math.max(this.parts.plot.clientWidth, 320);
    const tables = [];
    for (const series of shown) {
      const xs = this.options.axis === "time" ? series.times : series.steps;
      const bold = series.kind === "eval" ? series.values : this.#smoothed(series);
      tables.push(thin(xs, series.values, width, this.range), thin(xs, bold, width, this.range));
    }
    return tables.length ? uPlot.join(tables) : [[]];
  }

  #smoothed(series) {
    if (series.smoother?.beta !== this.options.smoothing) series.smoother = new Smoother(this.options.smoothing);
    return series.smoother.extend(series.values);
  }

  // The values that legend and sentence tell: those of the bold line, so that one page has one number for one thing.
  #told(series) {
    return series.kind === "eval" ? series.values : this.#smoothed(series);
  }

  #named() {
    return this.options.smoothing ? `, training smoothed (${this.options.smoothing})` : "";
  }

  #draw() {
    const shown = this.#shown();
    const names = shown.map((series) => series.key).join("|");
    const data = this.#columns(shown);
    if (this.plot && names === this.names) {
      this.plot.setData(data);
    } else {
      this.plot?.destroy();
      this.names = names;
      this.plot = new uPlot(this.#configure(shown), data, this.parts.plot);
    }
    this.#summarise();
    if (this.parts.data && !this.parts.data.hidden) this.#fillTable();
  }

  #configure(shown) {
    const ink = cssColour("var(--cl-ink-soft)");
    const grid = { stroke: cssColour("var(--cl-line)"), width: 1 };
    const axis = { stroke: ink, grid, gap: 6, ticks: { ...grid, size: 5 }, font: FONT, labelFont: FONT, labelSize: 18 };
    const log = this.options.scale === "log";
    const byTime = this.options.axis === "time";
    return {
      width: Math.max(this.parts.plot.clientWidth, 240),
      height: this.height,
      legend: { show: false },
      cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
      scales: {
        x: { time: false, range: (_, low, high) => this.range ?? this.#xRange(low, high) },
        y: { distr: log ? 3 : 1, log: 10, range: (_, low, high) => yRange(low, high, log) },
      },
      axes: [
        { ...axis, size: 30, labelGap: 0, label: byTime ? "time since the start" : "step", values: (_, ticks) => ticks.map((tick) => (byTime ? duration(tick) : number(tick, 0))), incrs: byTime ? TIME_TICKS : STEP_TICKS, space: byTime ? 90 : 60 },
        { ...axis, size: 52, labelGap: 2, label: this.metric, splits: log ? (_, __, low, high) => logTicks(low, high) : undefined, filter: log ? (_, ticks) => ticks : undefined, values: (_, ticks) => ticks.map((tick) => String(Number(tick.toPrecision(4)))) },
      ],
      series: [{}, ...shown.flatMap((series) => this.#lines(series))],
      hooks: {
        draw: [(plot) => this.#drawMarkers(plot), (plot) => this.#drawShapes(plot, shown)],
        setCursor: [(plot) => this.#readOut(plot, shown)],
        setSelect: [(plot) => this.#select(plot)],
      },
    };
  }

  #xRange(low, high) {
    if (low === null || high === null) return [0, 10];
    return low === high ? [low - 1, high + 1] : [low, high];
  }

  #lines(series) {
    const { colour, dash } = orgLook(series.place);
    const evaluation = series.kind === "eval";
    const faint = { stroke: colour, alpha: 0.28, width: 1, points: { show: false }, spanGaps: true, show: !evaluation && this.options.smoothing > 0 };
    // Held-out rows are measured now and then: marks where they were, and no line through what nobody measured.
    const bold = { stroke: evaluation ? "transparent" : colour, width: evaluation ? 0 : 2, dash, points: { show: false }, spanGaps: true };
    return [faint, bold];
  }

  #select(plot) {
    const { left, width } = plot.select;
    if (width > 8) this.#zoom([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  }

  #drawShapes(plot, shown) {
    const { ctx } = plot;
    const ratio = window.devicePixelRatio || 1;
    const surface = cssColour("var(--cl-surface)");
    ctx.save();
    shown.forEach((series, place) => {
      const look = orgLook(series.place);
      const column = plot.data[2 * place + 2] ?? [];
      const known = [];
      for (let i = 0; i < column.length; i += 1) if (column[i] !== null && column[i] !== undefined) known.push(i);
      const every = series.kind === "eval" ? 1 : Math.max(1, Math.floor(known.length / MARKS));
      const path = shapePath(look.shape);
      ctx.fillStyle = look.colour;
      ctx.strokeStyle = look.colour;
      ctx.lineWidth = 2.2;
      ctx.setLineDash([]);
      for (let i = known.length - 1; i >= 0; i -= every) {
        const x = plot.valToPos(plot.data[0][known[i]], "x", true);
        const y = plot.valToPos(column[known[i]], "y", true);
        if (x < plot.bbox.left - 1 || x > plot.bbox.left + plot.bbox.width + 1) continue;
        const size = 0.72 * ratio;
        ctx.setTransform(size, 0, 0, size, x - 6 * size, y - 6 * size);
        if (series.kind === "eval") {
          ctx.fillStyle = surface;
          ctx.fill(path);
          ctx.stroke(path);
        } else {
          ctx.fill(path);
        }
      }
      ctx.setTransform(1, 0, 0, 1, 0, 0);
    });
    ctx.restore();
  }

  #drawMarkers(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.lineWidth = window.devicePixelRatio || 1;
    ctx.setLineDash([2, 4]);
    for (const marker of this.markers) {
      const at = this.options.axis === "time" ? marker.time : marker.step;
      const x = Math.round(plot.valToPos(at ?? Number.NaN, "x", true));
      if (!(x >= bbox.left && x <= bbox.left + bbox.width)) continue;
      ctx.strokeStyle = cssColour(`var(--cl-${marker.tone ?? "neutral"})`);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  // The legend: one switch a series, with the value under the cursor, else the last.
  #legend() {
    const legend = this.parts.legend;
    if (!legend) return;
    legend.replaceChildren();
    for (const series of this.series.values()) {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", String(!series.hidden));
      const name = document.createElement("span");
      name.textContent = series.label;
      const value = document.createElement("output");
      button.append(shapeElement(orgLook(series.place), series.kind === "eval"), name, value);
      button.addEventListener("click", () => {
        series.hidden = !series.hidden;
        button.setAttribute("aria-pressed", String(!series.hidden));
        this.#later();
      });
      series.output = value;
      legend.append(button);
    }
    this.#readOut(this.plot, this.#shown());
  }

  #readOut(plot, shown) {
    const index = plot?.cursor?.idx ?? null;
    const x = index === null ? null : plot.data[0][index];
    for (const series of shown) {
      const xs = this.options.axis === "time" ? series.times : series.steps;
      const at = x === null ? xs.length - 1 : Math.min(lowerBound(xs, x), xs.length - 1);
      if (series.output) series.output.textContent = number(this.#told(series)[at], 3);
    }
    const step = x === null ? null : Math.round(x);
    if (step !== this.cursorStep) this.element.dispatchEvent(new CustomEvent("cl:cursor", { detail: { x: step, axis: this.options.axis } }));
    this.cursorStep = step;
  }

  #summarise() {
    const texts = [...this.series.values()].map((series) => describe(series.label, this.#told(series))).filter(Boolean);
    const steps = Math.max(0, ...[...this.series.values()].map((series) => series.steps.at(-1) ?? 0));
    const text = texts.length ? `${this.metric} at step ${number(steps, 0)}${this.#named()}: ${texts.join("; ")}.` : "No points yet. The curve starts at the first step.";
    if (this.parts.summary && this.parts.summary.textContent !== text) this.parts.summary.textContent = text;
    this.#readOut(this.plot, this.#shown());
  }

  #toggleTable() {
    const box = this.parts.data;
    box.hidden = !box.hidden;
    this.parts.table.setAttribute("aria-expanded", String(!box.hidden));
    if (!box.hidden) this.#fillTable();
  }

  #fillTable() {
    const all = [...this.series.values()].filter((series) => series.steps.length);
    const steps = [...new Set(all.flatMap((series) => series.steps))].sort((a, b) => a - b);
    const every = Math.max(1, Math.ceil(steps.length / TABLE_ROWS));
    const sparse = new Set(all.filter((series) => series.steps.length <= TABLE_ROWS).flatMap((series) => series.steps));
    const rows = steps.filter((step, i) => i % every === 0 || i === steps.length - 1 || sparse.has(step));
    const table = document.createElement("table");
    table.className = "table";
    const head = table.createTHead().insertRow();
    for (const text of ["Step", ...all.map((series) => series.label)]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = text;
      head.append(cell);
    }
    const body = table.createTBody();
    for (const step of rows) {
      const row = body.insertRow();
      row.insertCell().textContent = number(step, 0);
      for (const series of all) {
        const at = lowerBound(series.steps, step);
        row.insertCell().textContent = series.steps[at] === step ? number(series.values[at], 4) : "";
      }
    }
    const caption = table.createCaption();
    caption.textContent = `${this.metric} per step, not smoothed`;
    this.parts.data.replaceChildren(table);
  }
}

function yRange(low, high, log) {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return log ? [0.1, 10] : [0, 1];
  if (log) return [Math.max(low, 1e-9) * 0.85, high * 1.18];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
}
