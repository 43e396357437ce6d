// @ts-check
// One visitor's conversation as this page holds it: the stream and the outbox
// on one side, the view on the other. No DOM.
import { Problem } from "./client.js";
import { Outbox } from "./outbox.js";
import { emptyView, reduce } from "./reduce.js";
import { Share } from "./share.js";

/** @typedef {import("./reduce.js").View} View */
/** @typedef {import("./reduce.js").RelayEvent} RelayEvent */

export class Conversation {
  /** @type {View} */
  view = emptyView;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #doubt;
  /** @type {import("./stream.js").StreamState} */
  link = { state: "idle", until: 0, problem: null };

  /**
   * @param {import("./client.js").Client} client
   * @param {import("./storage.js").Storage} storage
   * @param {object} to
   * @param {(now: View, before: View, event: RelayEvent) => void} to.onView
   * @param {() => void} to.onLink
   */
  constructor(client, storage, to) {
    this.client = client;
    this.to = to;
    this.outbox = new Outbox(client, storage, (turn) => this.#apply({ type: "pending", data: turn }));
    this.stream = new Share(client, `${storage.space}${import.meta.url}`, {
      view: () => this.view,
      onView: (data) => {
        this.#apply({ type: "adopted", data });
        this.outbox.reconnected();
      },
      lastEventId: () => this.view.lastEventId,
      onOpen: () => {
        this.#apply({ type: "connected", data: null });
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
        this.#apply({ type: "forget", data: { keepPending: true } });
        if (this.link.state === "open") this.stream.restart(); // it is the former visitor's
      }
      this.#apply({ type: "hello", data: answer.session ?? {} });
    };
  }

  /** Listens, and sends what was left unsent. */
  start() {
    this.stream.start();
    this.outbox.restore();
  }

  close() {
    clearTimeout(this.#doubt);
    this.stream.stop();
    this.outbox.close();
  }

  /** @param {string} text @param {import("./files.js").Attached[]} [files] */
  send(text, files) {
    const turn = this.outbox.add(text, files);
    if (!this.stream.started) this.stream.start();
    return turn;
  }

  /** @param {string} turn */
  drop(turn) {
    this.outbox.drop(turn);
    this.#apply({ type: "dropped", data: { turn } });
  }

  retryNow() {
    this.stream.retryNow();
    this.outbox.retryNow();
  }

  /**
   * Answers a question or a permission prompt.
   * @param {string} id
   * @param {{answer: string}|{decision: "approve"|"deny"}} answer
   */
  async respond(id, answer) {
    const mine = "answer" in answer ? answer.answer : answer.decision;
    this.#apply({ type: "chosen", data: { id, mine } });
    try {
      await this.client.call("POST", "v1/responses", { body: { id, ...answer } });
    } catch (err) {
      if (err instanceof Problem && (err.code === "prompt_settled" || err.code === "prompt_unknown")) {
        this.#apply({ type: "settled", data: { id, outcome: "settled" } });
      }
      this.#apply({ type: "chosen", data: { id, mine: undefined } });
      throw err;
    }
  }

  /** Wakes the agent before there is a turn for it. */
  async boot() {
    try {
      await this.client.call("POST", "v1/session");
    } catch {
      // The first turn will say what is wrong.
    }
  }

  /** Ends the conversation; the next turn begins another. */
  async newConversation() {
    await this.client.call("DELETE", "v1/session");
    this.outbox.clear();
    this.#apply({ type: "session", data: { status: "ended", epoch: this.view.epoch } });
    for (const p of this.view.pending) this.#apply({ type: "dropped", data: { turn: p.turn } });
  }

  /** @param {string|(() => string|Promise<string>)} identity */
  async identify(identity) {
    this.client.identify(identity);
    await this.client.meet();
    this.stream.restart();
  }

  /** Forgets the visitor, here and at the relay. */
  async logout() {
    this.outbox.clear();
    try {
      await this.client.call("DELETE", "v1/visitor");
    } finally {
      this.client.forget(true);
      this.client.identify(null);
      this.#apply({ type: "forget", data: { keepPending: false } });
      this.stream.restart();
    }
  }

  /** @param {RelayEvent} event */
  #hear(event) {
    if (event.type === "problem" && event.data.fatal) {
      if (event.data.code !== "visitor_unknown") return;
      this.client.forget(this.stream.leads); // another tab's stream may be one that this tab has left behind
      this.#apply({ type: "forget", data: { keepPending: true } });
      return;
    }
    this.#apply(event);
    clearTimeout(this.#doubt);
    // Turns said into a running one may end with it: after a silence, ask.
    if (event.type === "turn_end" && this.view.busy) this.#doubt = setTimeout(() => void this.#ask(), 4000);
  }

  async #ask() {
    const asked = this.view;
    try {
      const session = await (await this.client.call("GET", "v1/session")).json();
      if (!session.agent_busy && this.view === asked) this.#apply({ type: "idle", data: null });
    } catch {
      // The stream will tell.
    }
  }

  /** @param {RelayEvent} event */
  #apply(event) {
    const before = this.view;
    this.view = reduce(before, event);
    if (this.view !== before) this.to.onView(this.view, before, event);
  }
}
