// Keeps relative times and countdowns current: one timer for the page, local time and UTC on hover.
import { duration } from "./format.js";

const SOON_SECONDS = 300;
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const STEPS = [[60, 1, "second"], [3600, 60, "minute"], [86400, 3600, "hour"], [86400 * 30, 86400, "day"]];
const absolute = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** "12 seconds ago", "in 3 minutes"; a date when more than a month away. */
export function relativeTime(moment, now = Date.now()) {
  const seconds = (moment.getTime() - now) / 1000;
  const size = Math.abs(seconds);
  if (size < 2) return "just now";
  for (const [limit, unit, name] of STEPS) {
    if (size < limit) return relative.format(Math.round(seconds / unit), name);
  }
  return absolute.format(moment);
}

function localAndUtc(moment) {
  const utc = moment.toISOString().replace("T", " ").slice(0, 19);
  return `${absolute.format(moment)} here · ${utc} UTC`;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function refreshRelative(element) {
  const moment = new Date(element.dateTime);
  if (Number.isNaN(moment.getTime())) return;
  setText(element, relativeTime(moment));
  const title = localAndUtc(moment);
  if (element.title !== title) element.title = title;
}

function refreshCountdown(element) {
  const box = element.closest(".cl-countdown") ?? element;
  const left = (new Date(element.dateTime).getTime() - Date.now()) / 1000;
  if (Number.isNaN(left)) return;
  if (left > 0) {
    const whole = Math.floor(left);
    setText(element, left < 3600 ? `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}` : duration(left));
    box.toggleAttribute("data-soon", left < SOON_SECONDS);
    delete box.dataset.over;
  } else if (box.dataset.over === undefined) {
    box.dataset.over = "";
    box.removeAttribute("data-soon");
    setText(element, element.dataset.expired ?? "Expired");
    element.dispatchEvent(new CustomEvent("cl:expired", { bubbles: true }));
  }
}

/** Bring every time on the page up to date. */
export function refreshTimes(root = document) {
  for (const element of root.querySelectorAll("time[data-relative]")) refreshRelative(element);
  for (const element of root.querySelectorAll("time[data-countdown]")) refreshCountdown(element);
}

refreshTimes();
window.setInterval(() => {
  if (!document.hidden) refreshTimes();
}, 1000);
document.addEventListener("visibilitychange", () => refreshTimes());
document.addEventListener("htmx:load", () => refreshTimes());
