// @ts-check
// The event stream: reading, resuming after the last event id, detecting a dead
// connection, reconnecting. It depends on the relay, not on the page's UI.
import { Problem } from "./client.js";
import { doc, inPage, isHidden } from "./doc.js";
import { Native, parse, sleep } from "./native.js";
import { Decoder } from "./sse.js";

/** The relay is never silent for longer than 15 s; three times that means dead. */
const silence = 45_000;
/** A connection quiet for this long is checked when the page wakes. */
const doubt = 20_000;
const maxBackoff = 30_000;
/** Bytes read at a time before the page gets its turn. */
const slice = 4096;
/** Retry interval for a relay that refuses this website. */
const refusal = 60_000;
/** However long a refusal is announced to last, it may be lifted earlier. */
const maxRefusal = 3600_000;

/**
 * @typedef {object} StreamState
 * @property {"idle"|"connecting"|"open"|"waiting"|"refused"} state
 * @property {number} until when a waiting stream retries, ms since 1970
 * @property {Problem|null} problem why it waits or was refused
 */

export class Stream {
  /** @type {AbortController|null} of the connection */
  #connection = null;
  /** @type {AbortController|null} of the stream's life, from start to stop */
  #life = null;
  /** @type {(() => void)|null} ends the wait before the next attempt */
  #wake = null;
  #heard = 0;
  #retry = 2000;
  #failures = 0;

  /**
   * @param {import("./client.js").Client} client
   * @param {object} to
   * @param {() => string|null} to.lastEventId
   * @param {() => void} to.onOpen a new connection has opened
   * @param {(event: {type: string, id: string|null, data: any}) => void} to.onEvent
   * @param {(state: StreamState) => void} to.onState
   * @param {() => import("./reduce.js").View} to.view the initial view of a tab that joins
   * @param {(view: import("./reduce.js").View) => void} to.onView the initial view of this tab when it joins
   */
  constructor(client, to) {
    this.client = client;
    this.to = to;
  }

  /** True: no other page reads the stream for this one. */
  get leads() {
    return true;
  }

  /** There is nothing to share. */
  settle() {}

  /** Whether the stream is wanted. */
  get started() {
    return this.#life !== null;
  }

  /** Connects, and reconnects whenever the connection ends, until stopped. */
  start() {
    if (this.#life) return this.retryNow();
    const life = new AbortController();
    this.#life = life;
    if (inPage) {
      const on = { signal: life.signal };
      addEventListener("online", () => this.awake(true), on);
      addEventListener("pageshow", (e) => this.awake(e.persisted), on);
      // A page in the back-forward cache may not keep a connection open.
      addEventListener("pagehide", () => this.#connection?.abort(), on);
      doc.addEventListener("visibilitychange", () => !isHidden() && this.awake(false), on);
    }
    void this.#run(life.signal);
  }

  stop() {
    this.#life?.abort();
    this.#life = null;
    this.#connection?.abort();
    this.#wake?.();
    this.to.onState({ state: "idle", until: 0, problem: null });
  }

  /** Closes the current connection and opens a new one immediately. */
  restart() {
    if (!this.#life) return;
    this.#failures = 0;
    this.#connection?.abort("restart");
    this.#wake?.();
  }

  retryNow() {
    this.#wake?.();
  }

  /** Checks the connection after a sleep. @param {boolean} surely whether the old connection cannot be alive */
  awake(surely) {
    if (surely || (this.#connection && Date.now() - this.#heard > doubt)) this.restart();
    else this.retryNow();
  }

  /** @param {AbortSignal} life */
  async #run(life) {
    while (!life.aborted) {
      /** @type {Problem|null} */
      let problem = null;
      const connection = new AbortController();
      this.#connection = connection;
      this.#heard = Date.now();
      this.to.onState({ state: "connecting", until: 0, problem: null });
      try {
        await this.#read(connection);
      } catch (err) {
        problem = err instanceof Problem && err.code !== "aborted" ? err : new Problem("unreachable", 0, String(err), null);
        // A page that starts to add headers later makes the browser refuse requests
        // midway.
        if (problem.status === 403 || (problem.status === 0 && this.#failures > 1)) await this.client.examine(problem);
      }
      if (life.aborted) return; // the stream may have been started again
      this.#connection = null;
      if (connection.signal.reason === "restart") continue;
      if (problem?.status === 403) {
        // Only a change at the relay fixes this, so retryNow has no effect.
        this.to.onState({ state: "refused", until: 0, problem });
        await this.#wait(problem.retryAfter ? Math.min(problem.retryAfter * 1000, maxRefusal) : refusal, life);
        continue;
      }
      await this.#pause(problem, life);
    }
  }

  /** @param {Problem|null} problem @param {AbortSignal} life */
  async #pause(problem, life) {
    if (problem) this.#failures++;
    const backoff = problem ? Math.min(maxBackoff, 1000 * 2 ** Math.min(this.#failures, 6)) * (0.5 + Math.random() / 2) : this.#retry;
    const ms = problem?.retryAfter != null ? problem.retryAfter * 1000 + Math.random() * 500 : backoff;
    this.to.onState({ state: "waiting", until: Date.now() + ms, problem });
    await this.#wait(ms, life);
    while (isHidden() && this.#failures > 3 && !life.aborted) await this.#wait(Infinity, life);
  }

  /** @param {number} ms @param {AbortSignal} life */
  #wait(ms, life) {
    return new Native((/** @type {(v: void) => void} */ done) => {
      const timer = ms === Infinity ? undefined : setTimeout(done, ms);
      this.#wake = () => {
        clearTimeout(timer);
        done();
      };
      if (life.aborted) this.#wake();
    }).finally(() => {
      this.#wake = null;
    });
  }

  /** Reads one connection to its end. @param {AbortController} connection */
  async #read(connection) {
    const { signal } = connection;
    const last = this.to.lastEventId();
    const res = await this.client.call("GET", "v1/events", {
      signal,
      stream: true,
      headers: { accept: "text/event-stream", ...(last ? { "last-event-id": last } : {}) },
    });
    if (!/^text\/event-stream\b/i.test(res.headers.get("content-type") ?? "") || !res.body) {
      connection.abort();
      throw new Problem("not_a_relay", res.status, "", null);
    }
    this.to.onOpen();
    this.to.onState({ state: "open", until: 0, problem: null });
    const decoder = new Decoder(
      (frame) => {
        if (signal.aborted) return;
        const data = json(frame.data);
        if (data === undefined) return;
        this.#failures = 0;
        this.to.onEvent({ type: frame.event, id: frame.id, data });
      },
      (ms) => {
        this.#retry = Math.min(Math.max(ms, 200), 60_000);
      },
    );
    const watchdog = setInterval(() => {
      if (Date.now() - this.#heard > silence) connection.abort();
    }, 5000);
    const reader = res.body.getReader();
    // In Node 20, a read may outlive the abort of its request forever.
    const cancel = () => void reader.cancel().catch(() => {});
    if (signal.aborted) cancel();
    signal.addEventListener("abort", cancel);
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (signal.aborted) throw "";
        if (done) return;
        this.#heard = Date.now();
        for (let at = 0; at < value.length; at += slice) {
          decoder.push(value.subarray(at, at + slice));
          // A backlog is not read at once while the page is visible.
          if (!isHidden()) await sleep();
        }
      }
    } finally {
      clearInterval(watchdog);
      cancel();
    }
  }
}

/** @param {string} text */
function json(text) {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}
