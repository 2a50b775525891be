// The arithmetic of charts: smoothing, thinning, ticks, and the sentence that says what a curve shows.
import { number } from "./format.js";

/** Exponential moving average without the bias of its start (divided by 1 - beta^n). Gaps stay gaps. */
export function smooth(values, beta) {
  if (!beta) return values;
  const out = new Array(values.length);
  let sum = 0;
  let weight = 1;
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i];
    if (value === null || !Number.isFinite(value)) {
      out[i] = null;
      continue;
    }
    sum = beta * sum + (1 - beta) * value;
    weight *= beta;
    out[i] = sum / (1 - weight);
  }
  return out;
}

/** The first index whose x is not below `x`; xs is sorted. */
export function lowerBound(xs, x) {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Keep the lowest and the highest point of each bucket, in their order: no spike is lost, at most 2 x buckets points. */
export function thin(xs, ys, buckets, range = null) {
  const first = range ? Math.max(lowerBound(xs, range[0]) - 1, 0) : 0;
  const end = range ? Math.min(lowerBound(xs, range[1]) + 2, xs.length) : xs.length;
  if (end - first <= buckets * 2) return [xs.slice(first, end), ys.slice(first, end)];
  const outX = [];
  const outY = [];
  const size = (end - first) / buckets;
  for (let bucket = 0; bucket < buckets; bucket += 1) {
    const from = Math.floor(first + bucket * size);
    const to = Math.min(Math.floor(first + (bucket + 1) * size), end);
    let low = -1;
    let high = -1;
    for (let i = from; i < to; i += 1) {
      if (ys[i] === null || !Number.isFinite(ys[i])) continue;
      if (low < 0 || ys[i] < ys[low]) low = i;
      if (high < 0 || ys[i] > ys[high]) high = i;
    }
    if (low < 0) continue;
    for (const i of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) {
      outX.push(xs[i]);
      outY.push(ys[i]);
    }
  }
  return [outX, outY];
}

/** Round tick values between two bounds. */
export function niceTicks(low, high, count = 6) {
  const span = high - low || 1;
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) ticks.push(Number(tick.toPrecision(12)));
  return ticks;
}

function trend(values) {
  const known = smooth(values.filter((value) => Number.isFinite(value) && value !== null), 0.8);
  if (known.length < 5) return "";
  const last = known[known.length - 1];
  const before = known[Math.floor(known.length * 0.75)];
  const change = (last - before) / (Math.abs(before) || 1);
  return change < -0.01 ? ", falling" : change > 0.01 ? ", rising" : ", level";
}

/** "Clinic A 2.31 to 1.12, falling": what a sighted reader takes from the curve. */
export function describe(label, values) {
  const known = values.filter((value) => Number.isFinite(value) && value !== null);
  if (!known.length) return "";
  if (known.length === 1) return `${label} ${number(known[0])}`;
  return `${label} ${number(known[0])} to ${number(known[known.length - 1])}${trend(values)}`;
}
