// A live view of a stream of numbered records: a snapshot over HTTP, then deltas over a WebSocket, back-fill after a
// gap, polling while sockets do not get through. The page is only a view: nothing is lost when it is closed.
//
//   const feed = new LiveFeed({ snapshotUrl, socketUrl, recordsUrl, onSnapshot, onRecords, onState, pill });
//   feed.start();
//
// Snapshot: {seq, ...}. Socket, from the server: {type: "records", records: [{seq, ...}], from, seq}, {type: "beat"},
// {type: "ended"}; from the page, on each opening: {type: "since", since: seq}. recordsUrl?since=N answers {records, seq}.
// `from` is the seq before the first record of the batch: when it lies beyond what the page has, the page asks again.
import { announce } from "./announce.js";
import { fetchJson } from "./http.js";

const FRAME_MS = 250; // at most four updates of the page a second
const BACKOFF_MS = [500, 1000, 2000, 4000, 8000, 15000];
const POLL_MS = 3000;
const POLL_AFTER_FAILURES = 3;
const SILENCE_MS = 45000; // only once the server has shown that it sends beats
const FINAL_CODES = new Set([4401, 4403, 4404]);
const WORDS = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  polling: "Live, by polling",
  paused: "Paused by you",
  ended: "Ended",
  closed: "No longer permitted",
};

/** The address of a WebSocket on the own site for a path. */
export function socketAddress(path) {
  const url = new URL(path, window.location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

export class LiveFeed {
  constructor({ snapshotUrl, socketUrl, recordsUrl = "", onSnapshot, onRecords, onState, onError, pill = "#live-pill" }) {
    this.urls = { snapshot: snapshotUrl, socket: socketUrl, records: recordsUrl };
    this.handlers = { snapshot: onSnapshot, records: onRecords, state: onState, error: onError };
    this.pill = typeof pill === "string" ? document.querySelector(pill) : pill;
    this.seq = 0;
    this.state = "connecting";
    this.waiting = [];
    this.failures = 0;
    this.paused = false;
    this.stopped = false;
    this.timers = {};
  }

  /** Fetch the snapshot, then follow. */
  async start() {
    window.addEventListener("online", () => this.#reconnectNow());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.state === "reconnecting") this.#reconnectNow();
    });
    await this.#takeSnapshot();
    if (!this.stopped) this.#connect();
  }

  /** Hold updates back; they are kept and shown on resume(). */
  pause() {
    this.paused = true;
    this.#setState("paused");
  }

  /** Show what was held back and follow again. */
  resume() {
    this.paused = false;
    this.#setState(this.socket?.readyState === WebSocket.OPEN ? "live" : "reconnecting");
    this.#flush();
  }

  /** Stop for good. */
  stop(state = "ended") {
    this.stopped = true;
    for (const timer of Object.values(this.timers)) window.clearTimeout(timer);
    this.timers = {};
    this.#flush();
    this.socket?.close(1000);
    this.#setState(state);
  }

  async #takeSnapshot() {
    for (let attempt = 0; !this.stopped; attempt += 1) {
      try {
        const snapshot = await fetchJson(this.urls.snapshot);
        this.seq = Math.max(this.seq, snapshot.seq ?? 0);
        this.handlers.snapshot?.(snapshot);
        return;
      } catch (error) {
        if ([401, 403, 404].includes(error.status)) return this.stop("closed");
        this.handlers.error?.(error);
        this.#setState("reconnecting");
        await new Promise((resolve) => window.setTimeout(resolve, this.#pauseFor(attempt)));
      }
    }
  }

  #pauseFor(attempt) {
    return BACKOFF_MS[Math.min(attempt, BACKOFF_MS.length - 1)] * (0.75 + Math.random() / 2);
  }

  #connect() {
    if (this.stopped || this.socket?.readyState <= WebSocket.OPEN) return;
    const socket = new WebSocket(socketAddress(this.urls.socket));
    this.socket = socket;
    socket.addEventListener("open", () => {
      this.failures = 0;
      window.clearTimeout(this.timers.poll);
      this.#ask();
      this.#setState(this.paused ? "paused" : "live");
    });
    socket.addEventListener("message", (event) => this.#receive(event.data));
    socket.addEventListener("close", (event) => {
      window.clearTimeout(this.timers.silence);
      if (this.stopped || socket !== this.socket) return;
      if (FINAL_CODES.has(event.code)) return this.stop("closed");
      this.failures += 1;
      if (!this.paused && this.state !== "polling") this.#setState("reconnecting");
      if (this.failures >= POLL_AFTER_FAILURES) this.#pollSoon();
      window.clearTimeout(this.timers.connect);
      this.timers.connect = window.setTimeout(() => this.#connect(), this.#pauseFor(this.failures - 1));
    });
  }

  #reconnectNow() {
    if (this.stopped) return;
    window.clearTimeout(this.timers.connect);
    this.#connect();
  }

  #ask() {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "since", since: this.seq }));
  }

  #receive(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return; // not ours; the next back-fill brings whatever it was
    }
    if (message.type === "beat") return this.#expectBeats();
    if (message.type === "ended") return this.stop("ended");
    if (message.type !== "records") return;
    if (message.from !== undefined && message.from > this.seq) return this.#ask();
    this.#take(message.records ?? [], message.seq);
  }

  #expectBeats() {
    window.clearTimeout(this.timers.silence);
    this.timers.silence = window.setTimeout(() => this.socket?.close(4000), SILENCE_MS);
  }

  #take(records, seq) {
    for (const record of records) {
      if (record.seq !== undefined && record.seq <= this.seq) continue; // a back-fill overlaps: once is enough
      this.waiting.push(record);
      if (record.seq !== undefined) this.seq = record.seq;
    }
    if (seq !== undefined) this.seq = Math.max(this.seq, seq);
    if (this.waiting.length && !this.timers.frame) this.timers.frame = window.setTimeout(() => this.#flush(), FRAME_MS);
  }

  #flush() {
    window.clearTimeout(this.timers.frame);
    this.timers.frame = 0;
    if (this.paused || !this.waiting.length) return;
    const records = this.waiting;
    this.waiting = [];
    this.handlers.records?.(records);
  }

  #pollSoon() {
    window.clearTimeout(this.timers.poll);
    this.timers.poll = window.setTimeout(() => this.#poll(), POLL_MS);
  }

  async #poll() {
    if (this.stopped || this.socket?.readyState === WebSocket.OPEN) return;
    try {
      if (this.urls.records) {
        const joint = this.urls.records.includes("?") ? "&" : "?";
        const answer = await fetchJson(`${this.urls.records}${joint}since=${this.seq}`);
        this.#take(answer.records ?? [], answer.seq);
      } else {
        const snapshot = await fetchJson(this.urls.snapshot);
        this.seq = Math.max(this.seq, snapshot.seq ?? 0);
        if (!this.paused) this.handlers.snapshot?.(snapshot);
      }
      if (!this.paused) this.#setState("polling");
    } catch (error) {
      if ([401, 403, 404].includes(error.status)) return this.stop("closed");
      if (!this.paused) this.#setState("reconnecting");
    }
    this.#pollSoon();
  }

  #setState(state) {
    if (this.pill) {
      this.pill.dataset.state = state;
      const text = this.pill.querySelector("[data-live-text]");
      if (text && text.textContent !== WORDS[state]) text.textContent = WORDS[state];
    }
    if (state === this.state) return;
    this.state = state;
    if (state === "closed") announce("You no longer have access to this page's updates.");
    this.handlers.state?.(state);
  }
}
