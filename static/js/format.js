// Numbers, bytes and durations as people read them: the same rules as the server's filters.

const UNITS = ["bytes", "kB", "MB", "GB", "TB", "PB"];
const NOTHING = "–";

/** 512 bytes, 3.4 MB, 21.0 GB. */
export function bytes(value) {
  if (value === null || value === undefined || !Number.isFinite(Number(value))) return NOTHING;
  let size = Number(value);
  let unit = 0;
  while (Math.abs(size) >= 999.5 && unit < UNITS.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 || Math.abs(size) >= 99.95 ? size.toFixed(0) : size.toFixed(1)} ${UNITS[unit]}`;
}

/** Seconds in the two largest units: 0.4 s, 12 s, 3 min 5 s, 1 h 12 min. */
export function duration(value) {
  if (value === null || value === undefined || !Number.isFinite(Number(value))) return NOTHING;
  const number = Number(value);
  if (number < 0) return `-${duration(-number)}`;
  if (number < 0.0995) return `${(number * 1000).toFixed(0)} ms`;
  if (number < 9.95) return `${number.toFixed(1)} s`;
  const seconds = Math.round(number);
  for (const [size, unit, smaller, name] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]]) {
    if (seconds >= size) {
      const rest = Math.floor((seconds % size) / smaller);
      return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${name}` : ""}`;
    }
  }
  return `${seconds} s`;
}

/** A number with narrow spaces between thousands. */
export function number(value, digits) {
  if (value === null || value === undefined || !Number.isFinite(Number(value))) return NOTHING;
  const n = Number(value);
  if (digits === undefined && n !== 0 && Math.abs(n) < 1e-3) return n.toExponential(2);
  const places = digits ?? (Number.isInteger(n) ? 0 : Math.abs(n) < 10 ? 3 : 1);
  return n.toLocaleString("en-GB", { minimumFractionDigits: places, maximumFractionDigits: places }).replaceAll(",", "\u202f");
}

/** 0.32 is 32 %. */
export function percent(value, digits = 0) {
  return Number.isFinite(Number(value)) && value !== null ? `${(Number(value) * 100).toFixed(digits)} %` : NOTHING;
}
