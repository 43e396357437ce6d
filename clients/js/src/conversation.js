// @ts-check
// One visitor's conversation in this page: the stream and the outbox on one side, the
// view on the other. No DOM.
import { parse, write } from "./native.js";
import { Outbox } from "./outbox.js";
import { emptyView, reduce } from "./reduce.js";

/** @typedef {import("./reduce.js").View} View */
/** @typedef {import("./reduce.js").RelayEvent} RelayEvent */
/** @typedef {import("./outbox.js").Context} Context */

/**
 * A reader of the event stream.
 * @typedef {object} Listener
 * @property {boolean} started whether the stream is wanted
 * @property {boolean} leads whether no other tab reads it for this one
 * @property {() => void} start
 * @property {() => void} stop
 * @property {() => void} restart opens a new connection immediately
 * @property {() => void} retryNow
 * @property {() => void} settle starts or stops sharing with other tabs, depending on the storage
 */

/** @typedef {new (...args: ConstructorParameters<typeof import("./stream.js").Stream>) => Listener} Listening */

export class Conversation {
  /** @type {View} */
  view = emptyView;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #doubt;
  /** @type {import("./stream.js").StreamState} */
  link = { state: "idle", until: 0, problem: null };
  /** @type {unknown} the page's context, or a function that returns it */
  #context;
  closed = false;

  /**
   * @param {import("./client.js").Client} client
   * @param {import("./storage.js").Storage} storage
   * @param {object} to
   * @param {(now: View, before: View, event: RelayEvent) => void} to.onView
   * @param {() => void} to.onLink
   * @param {() => void} to.onVisitor the relay has sent limits, notice and consent
   * @param {import("./outbox.js").Parts} parts
   * @param {Listening} Listener a stream of this page's own, or one shared with other tabs
   */
  constructor(client, storage, to, parts, Listener) {
    this.client = client;
    this.storage = storage;
    this.to = to;
    this.outbox = new Outbox(client, storage, (turn) => this.apply({ type: "pending", data: turn }), parts);
    this.stream = new Listener(client, {
      view: () => this.view,
      onView: (/** @type {View} */ data) => {
        this.apply({ type: "adopted", data });
        this.outbox.reconnected();
      },
      lastEventId: () => this.view.lastEventId,
      onOpen: () => {
        this.apply({ type: "connected", data: null });
        this.outbox.reconnected();
      },
      onEvent: (event) => this.#hear(event),
      onState: (state) => {
        this.link = state;
        this.to.onLink();
      },
    });
    client.onVisitor = (answer, fresh) => {
      const stranger = fresh || (answer.session?.epoch ?? 0) < this.view.epoch;
      if (stranger && this.view.epoch) {
        this.apply({ type: "forget", data: { keepPending: true } });
        if (this.link.state === "open") this.stream.restart(); // it belongs to the former visitor
      }
      this.apply({ type: "hello", data: answer.session ?? {} });
      this.stream.settle();
      this.to.onVisitor();
    };
  }

  /** Connects, and sends the unsent turns. */
  start() {
    this.stream.start();
    this.outbox.restore();
  }

  close() {
    clearTimeout(this.#doubt);
    this.closed = true;
    this.stream.stop();
    this.outbox.close();
  }

  /** @param {unknown} context an object, or a function that returns one at each send; null clears it */
  setContext(context) {
    this.#context = context ?? {};
  }

  /** The current context. @returns {Context|undefined} */
  #present() {
    try {
      const context = typeof this.#context === "function" ? (this.#context() ?? {}) : this.#context;
      return context && parse(write(context));
    } catch (err) {
      console.warn(`relay-chat: no context: ${err}`);
      return undefined;
    }
  }

  /** @param {string} text @param {import("./outbox.js").Attached[]} [files] */
  send(text, files) {
    const turn = this.outbox.add(text, files, this.#present());
    if (!this.stream.started) this.stream.start();
    return turn;
  }

  /** @param {string} turn */
  drop(turn) {
    this.outbox.drop(turn);
    this.apply({ type: "dropped", data: { turn } });
  }

  retryNow() {
    this.stream.retryNow();
    this.outbox.retryNow();
  }

  /**
   * Stops a turn, from the moment it is sent. The promise resolves when the relay has the
   * stop request or the turn is over; the view shows how it ended.
   * @param {string} turn
   */
  async stop(turn) {
    const known = this.outbox.halt(turn);
    this.stopping(turn, true);
    if (known) await (await this.outbox.parts.delivery()).stop(this, turn);
  }

  /** Records that a turn is to be stopped, or is not. @param {string} turn @param {boolean} on */
  stopping(turn, on) {
    this.outbox.stopping(turn, on);
    this.apply({ type: "stopping", data: { turn, on } });
  }

  /** @param {RelayEvent} event */
  #hear(event) {
    if (event.type === "problem" && event.data.fatal) {
      if (event.data.code !== "visitor_unknown") return; // the next attempt gets the same refusal
      this.client.forget(this.stream.leads); // another tab's stream may belong to a visitor that this tab has left
      this.apply({ type: "forget", data: { keepPending: true } });
      return;
    }
    this.apply(event);
    clearTimeout(this.#doubt);
    // Turns sent during a running one may end with it: after a silence, poll.
    if (event.type === "turn_end" && this.view.busy) this.#doubt = setTimeout(() => void this.#ask(), 4000);
  }

  async #ask() {
    const asked = this.view;
    try {
      const session = await (await this.client.call("GET", "v1/session")).json();
      if (!session.agent_busy && this.view === asked) this.apply({ type: "idle", data: null });
    } catch {
      // The stream will report it.
    }
  }

  /** Updates the view for an event of the relay or of this browser. @param {RelayEvent} event */
  apply(event) {
    const before = this.view;
    this.view = reduce(before, event);
    if (this.view !== before) this.to.onView(this.view, before, event);
  }
}
