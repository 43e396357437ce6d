// @ts-check
// Turns that belong to this browser until the relay responds with 202. They are kept in
// storage, so a reload sends them again with the same key, and the relay makes sure that
// the agent receives each once.
import { Native, newKey, parse, write } from "./native.js";

/** @typedef {import("./reduce.js").Pending} Pending */

/**
 * A file to send.
 * @typedef {object} Attached
 * @property {string} name
 * @property {string} mime
 * @property {Blob|ArrayBuffer|Uint8Array<ArrayBuffer>} data
 */

/**
 * Parts that only some turns need, loaded by the first that does.
 * @typedef {object} Parts
 * @property {() => Promise<FilesPart>} files
 * @property {() => Promise<typeof import("./deliver.js")>} delivery
 * @property {() => Promise<typeof import("./challenge.js")>} solver
 */

/**
 * Stores files until they are sent, and sends them.
 * @typedef {object} FilesPart
 * @property {(turn: string, files: any[]) => Promise<void>} keep
 * @property {(turn: string) => Promise<any[]|undefined>} recall
 * @property {(turn: string) => Promise<void>} forget
 * @property {(files: any[]) => Promise<{name: string, mime: string, data: string}[]>} encode
 * @property {((url: URL, init: any, onProgress: (share: number) => void) => Promise<Response>)} [post] reports upload progress, which fetch cannot
 */

/** @typedef {Record<string, string|number|boolean>} Context the page's data about the visitor */

/** Unsent turns older than this, in ms, are not sent unexpectedly. */
const maxAge = 24 * 3600_000;

export class Outbox {
  /** @type {Pending[]} in the order they are sent */
  #turns = [];
  #sending = false;
  #now = ""; // the turn in flight
  closed = false;
  /** @type {Promise<void>} storing the last turn's files */
  kept = Native.resolve();
  /** @type {(() => void)|null} */
  #wake = null;
  /** The last turn that was added, with its files, so that it can be sent again. */
  last = { turn: "", files: /** @type {any[]} */ ([]) };
  /** @type {Map<string, Context>} by turn */
  contexts = new Map();

  /**
   * @param {import("./client.js").Client} client
   * @param {import("./storage.js").Storage} storage
   * @param {(turn: Pending) => void} onChange
   * @param {Parts} parts
   */
  constructor(client, storage, onChange, parts) {
    this.client = client;
    this.storage = storage;
    this.onChange = onChange;
    this.parts = parts;
  }

  /** Loads the turns that an earlier page left unsent; reports whether there were any. */
  restore() {
    for (const t of this.#stored()) {
      if (!this.get(t.turn)) this.#enqueue(t);
    }
    void this.#run();
    return this.#turns.length > 0;
  }

  /**
   * @param {string} text
   * @param {Attached[]} [files]
   * @param {Context} [context] the current one: it stays the turn's
   * @returns {string} the turn's key
   */
  add(text, files = [], context = undefined) {
    const turn = newKey();
    this.last = { turn, files };
    const attachments = files.map(({ name, mime }) => ({ name, mime }));
    if (files.length) this.kept = this.parts.files().then((f) => f.keep(turn, files)).catch(() => {});
    this.#save([...this.#stored(), { turn, text, attachments, context, at: Date.now() }]);
    this.#enqueue({ turn, text, attachments, context });
    void this.#run();
    return turn;
  }

  /** Retries a failed turn, with its key. @param {string} turn */
  retry(turn) {
    if (this.get(turn)?.state === "failed") this.set(turn, { state: "sending", code: "", detail: "" });
    this.retryNow();
  }

  /** Ends the wait before the next attempt. */
  retryNow() {
    this.#wake?.();
    void this.#run();
  }

  /** Retries the turns that failed for lack of a connection. */
  reconnected() {
    for (const t of this.#turns) if (t.state === "failed" && t.code === "unreachable") this.retry(t.turn);
    this.#wake?.();
  }

  /**
   * Stops sending a turn, if possible; reports whether the relay may have it.
   * @param {string} turn
   */
  halt(turn) {
    const t = this.get(turn);
    if (!t) return true;
    this.#save(this.#stored().filter((t) => t.turn !== turn));
    if (t.state !== "waiting" && turn === this.#now) return true;
    this.stopped(turn);
    return t.code !== "";
  }

  /** Records that a turn is to be stopped, so that it is not sent again. @param {string} turn @param {boolean} on */
  stopping(turn, on) {
    if (this.get(turn)?.state !== "stopped") this.set(turn, { stopping: on });
  }

  /** Records that a turn was stopped before the agent received it. @param {string} turn */
  stopped(turn) {
    this.set(turn, { state: "stopped", stopping: false, code: "turn_stopped", until: 0 });
    this.#wake?.();
  }

  /** Gives up on a turn. @param {string} turn */
  drop(turn) {
    const t = this.get(turn);
    this.#turns = this.#turns.filter((t) => t.turn !== turn);
    this.contexts.delete(turn);
    this.#save(this.#stored().filter((t) => t.turn !== turn));
    if (turn === this.#now) this.#wake?.(); // the next turn need not wait for it
    if (t?.attachments.length) void this.parts.files().then((f) => f.forget(turn)).catch(() => {});
  }

  clear() {
    for (const t of this.#turns) this.drop(t.turn);
    this.#save([]);
  }

  close() {
    this.closed = true;
    this.#wake?.();
  }

  /** @param {Pick<Pending, "turn"|"text"|"attachments"> & {context?: Context}} stored */
  #enqueue({ turn, text, attachments = [], context }) {
    if (context) this.contexts.set(turn, context);
    /** @type {Pending} */
    const t = { turn, text, attachments, state: "sending", code: "", detail: "", until: 0 };
    this.#turns.push(t);
    this.onChange(t);
  }

  /** A turn that is still in the outbox. @param {string} turn */
  get(turn) {
    return this.#turns.find((t) => t.turn === turn);
  }

  /** @param {string} turn @param {Partial<Pending>} change */
  set(turn, change) {
    const at = this.#turns.findIndex((t) => t.turn === turn);
    if (at < 0) return;
    this.#turns[at] = { ...this.#turns[at], ...change };
    this.onChange(this.#turns[at]);
  }

  async #run() {
    if (this.#sending || this.closed) return;
    this.#sending = true;
    try {
      for (;;) {
        const turn = this.#turns.find((t) => !/^(failed|stopped)$/.test(t.state));
        if (!turn || this.closed) return;
        this.#now = turn.turn;
        try {
          await (await this.parts.delivery()).deliver(this, turn.turn);
        } catch (err) {
          this.set(turn.turn, { state: "failed", stopping: false, code: "unreachable", detail: `${err}` });
        }
      }
    } finally {
      this.#sending = false;
    }
  }

  /** Waits, unless an event makes an earlier retry worthwhile. @param {number} ms */
  sleep(ms) {
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

  /** @returns {(Pick<Pending, "turn"|"text"|"attachments"> & {at: number, context?: Context})[]} */
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

