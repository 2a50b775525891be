// The arithmetic of charts: smoothing, thinning, ticks, and the sentence that says what a curve shows.
import { number } from "./format.js";

/**
 * Exponential moving average without the bias of its start (divided by 1 - beta^n); gaps stay gaps.
 * It goes on where it stopped, so that a long run costs no more a step than a short one.
 */
export class Smoother {
  constructor(beta) {
    this.beta = beta;
    this.out = [];
    this.sum = 0;
    this.weight = 1;
  }

  /** The averages of all values; only those that came since the last call are computed. */
  extend(values) {
    if (!this.beta) return values;
    for (let i = this.out.length; i < values.length; i += 1) {
      const value = values[i];
      if (value === null || !Number.isFinite(value)) {
        this.out.push(null);
        continue;
      }
      this.sum = this.beta * this.sum + (1 - this.beta) * value;
      this.weight *= this.beta;
      this.out.push(this.sum / (1 - this.weight));
    }
    return this.out;
  }
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

/** Ticks of a logarithmic axis: the decades, with 2 and 5 between them where there are few; a narrow range has round values. */
export function logTicks(low, high, most = 8) {
  const decades = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) decades.push(10 ** power);
  const inside = (tick) => tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9);
  for (const factors of [[1, 2, 5], [1, 3], [1]]) {
    const ticks = decades.flatMap((decade) => factors.map((factor) => Number((factor * decade).toPrecision(12)))).filter(inside);
    if (ticks.length < 2) return niceTicks(low, high, 4);
    if (ticks.length <= most) return ticks;
  }
  const every = Math.ceil(decades.length / most);
  return decades.filter((decade, i) => i % every === 0 && inside(decade));
}

const known = (value) => value !== null && Number.isFinite(value);

// The mean of at most 200 known values that end at a place.
function meanBefore(values, end) {
  let sum = 0;
  let count = 0;
  for (let i = end - 1; i >= Math.max(0, end - 200) && count < Math.max(3, end / 10); i -= 1) {
    if (!known(values[i])) continue;
    sum += values[i];
    count += 1;
  }
  return count ? sum / count : null;
}

function direction(from, to) {
  const change = (to - from) / (Math.abs(from) || 1);
  return change < -0.01 ? "falling" : change > 0.01 ? "rising" : "level";
}

// The way from the first value to the last; where the last quarter goes another way, that too.
function trend(values, first, end) {
  if (values.length < 5) return "";
  const overall = direction(first, end);
  const last = meanBefore(values, values.length);
  const before = meanBefore(values, Math.floor(values.length * 0.75));
  if (last === null || before === null) return `, ${overall}`;
  const lately = direction(before, last);
  return lately === overall ? `, ${overall}` : `, ${overall}, lately ${lately}`;
}

/** "Clinic A 2.31 to 1.12, falling": what a sighted reader takes from the curve. */
export function describe(label, values) {
  const first = values.find(known);
  if (first === undefined) return "";
  const last = values.findLast(known);
  return values.length === 1 ? `${label} ${number(first, 3)}` : `${label} ${number(first, 3)} to ${number(last, 3)}${trend(values, first, last)}`;
}
