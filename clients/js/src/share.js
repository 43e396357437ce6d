// @ts-check
// One stream for all tabs of a browser, whose connections are limited. The tab that holds
// the lock reads it; the others get its view once and then every event from it. Without
// locks, each tab has its own stream.
import { doc, isHidden } from "./doc.js";
import { Native, locks } from "./native.js";
import { Stream } from "./stream.js";

/** @typedef {import("./reduce.js").View} View */

/** Interval of a leader's heartbeat, in ms. */
const pulse = 10_000;
/** A leader without a heartbeat for this long is asleep, and loses the lead. */
const silence = 45_000;

export class Share {
  /** @type {AbortController|null} from start to stop */
  #life = null;
  /** @type {BroadcastChannel|null} */
  #channel = null;
  /** @type {LockOptions|null} how it acquired the lead, if it has it */
  #leads = null;
  /** @type {AbortController|null} of the time among the tabs */
  #term = null;
  /** Whether a tab follows, as far as a leader knows. */
  #followed = false;
  /** Whether the next event that a follower receives continues its view. */
  #joined = false;
  #heard = 0;
  #me = Math.random();
  /** @type {import("./stream.js").StreamState} */
  #state = { state: "idle", until: 0, problem: null };

  /**
   * @param {import("./client.js").Client} client
   * @param {ConstructorParameters<typeof Stream>[1]} to
   * @param {string} build tabs share a stream only if they run the same build
   */
  constructor(client, to, build) {
    this.client = client;
    this.name = client.storage.space + build; // of the lock and the channel
    this.to = to;
    this.stream = new Stream(client, {
      ...to,
      lastEventId: to.lastEventId,
      onOpen: () => {
        to.onOpen();
        this.#tell({ open: 1 });
      },
      onEvent: (event) => {
        to.onEvent(event);
        if (this.#followed) this.#tell({ event });
      },
      onState: (state) => {
        this.#state = state;
        to.onState(state);
        if (this.#leads) this.#tell({ state: this.#plain() });
      },
    });
  }

  /** Whether the stream is wanted. */
  get started() {
    return this.#life !== null;
  }

  /** Whether no other tab reads the stream for this one. */
  get leads() {
    return !this.#channel || !!this.#leads;
  }

  start() {
    if (this.#life) return this.retryNow();
    const life = new AbortController();
    const { signal } = life;
    this.#life = life;
    if (!this.#shares) return this.stream.start();
    this.#enter();
    // A page in the back-forward cache may hold neither lock nor channel.
    addEventListener("pagehide", () => this.#leave(), { signal });
    addEventListener("pageshow", (e) => e.persisted && this.#enter(), { signal });
    doc.addEventListener("visibilitychange", () => !isHidden() && this.#tell({ wake: 1 }), { signal });
  }

  /** Tabs with separate tokens are not one visitor, and do not see each other. */
  get #shares() {
    return this.client.storage.shared && !!locks() && !!globalThis.BroadcastChannel;
  }

  /** Starts or stops sharing the stream, depending on the storage. */
  settle() {
    if (!this.#life || !this.#channel === !this.#shares) return;
    this.stop();
    this.start();
  }

  stop() {
    this.#life?.abort();
    this.#life = null;
    this.#leave();
    this.stream.stop();
  }

  /** Opens a new connection immediately, and takes the lead for it. */
  restart() {
    if (!this.#channel || this.#leads) this.stream.restart();
    else this.#lead({ steal: true });
  }

  retryNow() {
    this.stream.retryNow();
    this.#tell({ retry: 1 });
  }

  #enter() {
    this.#leave();
    const channel = new BroadcastChannel(this.name);
    const { signal } = (this.#term = new AbortController());
    this.#channel = channel;
    channel.onmessage = (e) => this.#hear(e.data);
    const timer = setInterval(() => {
      if (this.#leads) this.#tell({});
      else if (Date.now() - this.#heard > silence) this.restart();
    }, pulse);
    signal.addEventListener("abort", () => {
      clearInterval(timer);
      channel.close();
      this.#channel = this.#leads = null;
      this.stream.stop();
    });
    this.#follow();
    this.#lead({ signal });
    this.client.meet().catch(() => {}); // the leader will report it
  }

  #leave() {
    this.#term?.abort();
  }

  /** Requests the leader's view. */
  #follow() {
    this.#joined = false;
    this.#heard = Date.now();
    this.#tell({ join: this.#me });
  }

  /** Waits for the lead, or takes it over. @param {LockOptions} how */
  #lead(how) {
    const { signal } = /** @type {AbortController} */ (this.#term);
    navigator.locks
      .request(this.name, how, () => {
        if (signal.aborted) return;
        this.#leads = how;
        this.stream.start();
        return new Native((done) => signal.addEventListener("abort", done));
      })
      .catch(() => {
        if (signal.aborted || this.#leads !== how) return;
        // Another tab took it. This tab is still in the queue, even if it did the same.
        this.#leads = null;
        this.stream.stop();
        this.#follow();
        if (!how.steal) this.#lead(how);
      });
  }

  /** @param {any} message */
  #tell(message) {
    this.#channel?.postMessage(message);
  }

  /** A problem in a form that can be sent: of errors, only the message can. */
  #plain() {
    const { problem } = this.#state;
    return { ...this.#state, problem: problem && { ...problem, message: problem.message } };
  }

  /** @param {any} message */
  #hear({ join, retry, wake, open, view, me, event, state }) {
    if (this.#leads) {
      if (join) {
        this.#followed = true;
        this.#tell({ view: this.to.view(), me: join, state: this.#plain() });
      }
      if (retry) this.stream.retryNow();
      if (wake) this.stream.awake(false);
      return;
    }
    if (join || retry || wake) return; // from another follower
    this.#heard = Date.now();
    if (open) this.#follow();
    if (view && me === this.#me) {
      this.#joined = true;
      this.to.onView(view);
    }
    if (state) this.to.onState(state);
    if (event && this.#joined) this.to.onEvent(event);
  }
}
