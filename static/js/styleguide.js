// Draws the style guide's example chart: a curve made by a formula, so that nobody takes it for a measurement.
import { SeriesChart } from "./charts.js";

const STEPS = 800;
const chart = new SeriesChart(document.querySelector("#sg-loss"));
chart.setSeries([
  { key: "a", label: "Clinic A", place: 0 },
  { key: "b", label: "Bank B", place: 1 },
  { key: "a/eval", label: "Clinic A, held-out", place: 0, kind: "eval" },
]);

function curve(step, floor, wobble) {
  return floor + 2.2 * Math.exp(-step / 180) + wobble * Math.sin(step * 1.7) * Math.cos(step * 0.61);
}

const steps = Array.from({ length: STEPS }, (_, i) => i + 1);
chart.append("a", steps.map((step) => ({ step, value: curve(step, 0.9, 0.16), time: step * 0.42 })));
chart.append("b", steps.map((step) => ({ step, value: curve(step, 1.25, 0.2), time: step * 0.42 })));
chart.append("a/eval", steps.filter((step) => step % 100 === 0).map((step) => ({ step, value: curve(step, 1.1, 0), time: step * 0.42 })));
chart.setMarkers([{ step: 300, time: 126, label: "checkpoint", tone: "success" }, { step: 560, time: 235, label: "dropped", tone: "danger" }]);

new SeriesChart(document.querySelector("#sg-empty"));
