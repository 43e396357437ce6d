// @ts-check
// Turns that are this browser's until the relay answers 202. They are kept in
// storage, so a reload sends them again with the same key, and the relay sees
// to it that the agent gets each once.
import { Problem } from "./client.js";
import { Native, parse, write } from "./native.js";
import { filesPart } from "./part.js";

/** @typedef {import("./reduce.js").Pending} Pending */
/** @typedef {import("./files.js").Attached} Attached */

/** Older unsent turns are not sent out of the blue, in ms. */
const maxAge = 24 * 3600_000;
/** Attempts at an unreachable relay before the visitor is asked. */
const maxAttempts = 5;
/** How long refusals with a wait are waited out by themselves, in ms. */
const maxPatience = 10 * 60_000;

export class Outbox {
  /** @type {Pending[]} in the order they are sent */
  #turns = [];
  #sending = false;
  #closed = false;
  /** @type {Promise<void>} the keeping of the last turn's files */
  #kept = Native.resolve();
  /** @type {(() => void)|null} */
  #wake = null;
  /** The last turn that was added, with its files, for who wants it sent once more. */
  last = { turn: "", files: /** @type {Attached[]} */ ([]) };

  /**
   * @param {import("./client.js").Client} client
   * @param {import("./storage.js").Storage} storage
   * @param {(turn: Pending) => void} onChange
   */
  constructor(client, storage, onChange) {
    this.client = client;
    this.storage = storage;
    this.onChange = onChange;
  }

  /** Takes up what an earlier page left unsent; reports whether there was any. */
  restore() {
    for (const t of this.#stored()) {
      if (!this.#turns.some((known) => known.turn === t.turn)) this.#enqueue(t);
    }
    void this.#run();
    return this.#turns.length > 0;
  }

  /** @param {string} text @param {Attached[]} [files] @returns {string} the turn's key */
  add(text, files = []) {
    const turn = newKey();
    this.last = { turn, files };
    const attachments = files.map(({ name, mime }) => ({ name, mime }));
    if (files.length) this.#kept = filesPart().then((f) => f.keep(turn, files)).catch(() => {});
    this.#save([...this.#stored(), { turn, text, attachments, at: Date.now() }]);
    this.#enqueue({ turn, text, attachments });
    void this.#run();
    return turn;
  }

  /** Sends a failed turn again, with its key. @param {string} turn */
  retry(turn) {
    const t = this.#turns.find((x) => x.turn === turn);
    if (t?.state === "failed") this.#set(t, { state: "sending", code: "", detail: "" });
    this.retryNow();
  }

  /** Ends the wait before the next attempt. */
  retryNow() {
    this.#wake?.();
    void this.#run();
  }

  /** Tries what failed for want of a connection again. */
  reconnected() {
    for (const t of this.#turns) if (t.state === "failed" && t.code === "unreachable") this.retry(t.turn);
    this.#wake?.();
  }

  /** Gives a turn up. @param {string} turn */
  drop(turn) {
    const t = this.#turns.find((x) => x.turn === turn);
    this.#turns = this.#turns.filter((t) => t.turn !== turn);
    this.#save(this.#stored().filter((t) => t.turn !== turn));
    if (t?.attachments.length) void filesPart().then((f) => f.forget(turn)).catch(() => {});
  }

  clear() {
    for (const t of this.#turns) this.drop(t.turn);
    this.#save([]);
    this.#wake?.();
  }

  close() {
    this.#closed = true;
    this.#wake?.();
  }

  /** @param {Pick<Pending, "turn"|"text"|"attachments">} stored */
  #enqueue({ turn, text, attachments = [] }) {
    /** @type {Pending} */
    const t = { turn, text, attachments, state: "sending", code: "", detail: "", until: 0 };
    this.#turns.push(t);
    this.onChange(t);
  }

  /** @param {{turn: string}} turn @param {Partial<Pending>} change */
  #set(turn, change) {
    const at = this.#turns.findIndex((t) => t.turn === turn.turn);
    if (at < 0) return;
    this.#turns[at] = { ...this.#turns[at], ...change };
    this.onChange(this.#turns[at]);
  }

  async #run() {
    if (this.#sending || this.#closed) return;
    this.#sending = true;
    try {
      for (;;) {
        const turn = this.#turns.find((t) => t.state !== "failed");
        if (!turn || this.#closed) return;
        await this.#deliver(turn);
      }
    } finally {
      this.#sending = false;
    }
  }

  /** Sends one turn until it is accepted or given up. @param {Pending} turn */
  async #deliver(turn) {
    const began = Date.now();
    for (let attempt = 1; ; attempt++) {
      this.#set(turn, { state: "sending", until: 0 });
      try {
        await this.client.call("POST", "v1/messages", { ...(await this.#letter(turn)), headers: { "idempotency-key": turn.turn } });
        this.#set(turn, { state: "sent", code: "", detail: "" });
        this.drop(turn.turn);
        return;
      } catch (err) {
        const problem = err instanceof Problem ? err : new Problem("unreachable", 0, String(err), null);
        const wait = this.#closed ? null : delay(problem, attempt, Date.now() - began);
        const why = { code: problem.code, detail: problem.detail };
        if (wait === null) return this.#set(turn, { ...why, state: "failed", until: 0 });
        this.#set(turn, { ...why, state: "waiting", until: Date.now() + wait });
        await this.#sleep(wait);
        if (this.#closed || !this.#turns.some((t) => t.turn === turn.turn)) return;
      }
    }
  }

  /** What is sent of a turn, and how. @param {Pending} turn */
  async #letter({ turn, text, attachments }) {
    if (!attachments.length) return { body: { text } };
    await this.#kept;
    const part = await filesPart();
    const files = await part.recall(turn);
    if (!files) throw new Problem("files_lost", 400, "", null);
    /** @param {number} sent */
    const progress = (sent) => this.#set({ turn }, { sent });
    return {
      body: { text, attachments: await part.encode(files) },
      fetch: (/** @type {URL} */ url, /** @type {any} */ init) => part.post(url, init, progress),
    };
  }

  /** @param {number} ms */
  #sleep(ms) {
    return new Native((/** @type {(v: void) => void} */ done) => {
      const timer = setTimeout(done, ms);
      this.#wake = () => {
        clearTimeout(timer);
        done();
      };
    }).finally(() => {
      this.#wake = null;
    });
  }

  /** @returns {(Pick<Pending, "turn"|"text"|"attachments"> & {at: number})[]} */
  #stored() {
    try {
      const list = parse(this.storage.get("outbox") ?? "[]");
      return list.filter((/** @type {any} */ t) => typeof t.turn === "string" && typeof t.text === "string" && Date.now() - t.at < maxAge);
    } catch {
      return [];
    }
  }

  /** @param {unknown[]} list */
  #save(list) {
    this.storage.set("outbox", list.length ? write(list) : null);
  }
}

/**
 * Returns how long to wait before sending again, null when it is of no use.
 * @param {Problem} problem
 * @param {number} attempt
 * @param {number} spent ms since the first attempt
 */
export function delay(problem, attempt, spent) {
  const backoff = Math.min(20_000, 1000 * 2 ** (attempt - 1)) * (0.75 + Math.random() / 2);
  if (problem.status === 0) return attempt < maxAttempts ? backoff : null;
  const passes = [408, 429, 500, 502, 503, 504].includes(problem.status);
  if (!passes || problem.code === "upstream_refused" || spent > maxPatience) return null;
  if (problem.retryAfter !== null) return problem.retryAfter * 1000 + Math.random() * 400;
  return problem.status === 503 || problem.status === 429 || attempt < maxAttempts ? backoff : null;
}

/** Makes up a turn's key. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
}
