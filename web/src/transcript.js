// @ts-check
// The view as rows. Rows are kept by key: what did not change is not touched.
import { h } from "./h.js";
import { row, userRow } from "./rows.js";
import { say } from "./strings.js";
import { stamp } from "./times.js";

/** @typedef {import("./rows.js").Row} Row */
/** @typedef {import("./reduce.js").View} View */

export class Transcript {
  /** @type {Map<string, {row: Row, item: unknown}>} */
  #rows = new Map();

  /**
   * @param {import("./rows.js").Acts} acts
   * @param {(text: string) => void} onStarter
   * @param {import("./times.js").Times} times
   */
  constructor(acts, onStarter, times) {
    this.acts = acts;
    this.times = times;
    this.onStarter = onStarter;
    this.greeting = h("p", { class: "greeting" });
    this.starters = h("div", { class: "starters", role: "group", "aria-label": say("starters") });
    this.hello = h("div", { class: "hello", part: "greeting" }, this.greeting, this.starters);
    this.foot = h("div", { class: "foot", part: "status", "aria-hidden": "true" });
    this.thread = h("div", { class: "thread" }, this.hello, this.foot);
    this.log = h("div", { class: "log", part: "log", role: "log", "aria-live": "off", "aria-label": say("log"), tabindex: 0 }, this.thread);
  }

  /** @param {string} greeting @param {string[]} starters */
  welcome(greeting, starters) {
    this.greeting.textContent = greeting;
    this.starters.replaceChildren(...starters.map((s) => h("button", { type: "button", class: "starter", part: "starter", onclick: () => this.onStarter(s) }, s)));
  }

  /** @param {View} view */
  render(view) {
    const { pending } = view;
    this.hello.hidden = view.items.length + pending.length > 0 || !view.caughtUp;
    const gone = new Set(this.#rows.keys());
    /** @type {ChildNode|null} */
    let at = this.hello.nextSibling;
    /** @param {string} key @param {any} item @param {() => Row} build */
    const put = (key, item, build) => {
      gone.delete(key);
      let kept = this.#rows.get(key);
      if (!kept) {
        kept = { row: build(), item: null };
        this.#rows.set(key, kept);
      }
      if (kept.item !== item) {
        kept.row.update(item);
        kept.item = item;
      }
      if (kept.row.el === at) at = at.nextSibling;
      else this.thread.insertBefore(kept.row.el, at);
    };
    /** @type {number|undefined} */
    let before;
    /** @param {string} key @param {any} item @param {() => Row} build */
    const timed = (key, item, build) => {
      const at = this.times.at(key);
      const text = at && stamp(at, before);
      if (text) put(`at ${key}`, text, stampRow);
      before = at ?? before;
      put(key, item, build);
    };
    for (const item of view.items) timed(keyOf(item), item, () => row(item, this.acts));
    for (const p of pending) timed(keyOf(p), p, () => userRow(this.acts));
    for (const key of gone) {
      this.#rows.get(key)?.row.el.remove();
      this.#rows.delete(key);
    }
    this.#status(view);
  }

  /** Renews what counts down; reports whether anything does. @param {View} view */
  tick(view) {
    const now = Date.now();
    for (const { row: r } of this.#rows.values()) r.tick?.(now);
    return view.pending.some((p) => p.state === "waiting");
  }

  /** @param {View} view */
  #status(view) {
    const text = statusOf(view);
    this.foot.hidden = text === null;
    if (text === null || (this.foot.dataset.text === text && this.foot.firstChild)) return;
    this.foot.dataset.text = text;
    this.foot.replaceChildren(h("span", { class: "dots" }, h("i"), h("i"), h("i")), text ? h("span", { class: "why" }, text) : "");
  }
}

/** Names a row; a turn's stays when the turn is accepted. @param {{turn?: string|null, key?: string}} item */
export function keyOf({ turn, key }) {
  return turn ? `turn ${turn}` : (key ?? "");
}

/** When what follows was said. @returns {Row} */
function stampRow() {
  const el = h("div", { class: "stamp", part: "time" });
  return { el, update: (/** @type {string} */ text) => el.replaceChildren(text) };
}

/**
 * Says what the agent is doing: null when nothing, "" when it is just busy.
 * @param {View} view
 * @returns {string|null}
 */
export function statusOf(view) {
  const under = view.pending.some((p) => p.state === "sent" || p.state === "sending" || (p.state === "waiting" && p.code === "session_booting"));
  if (!view.busy && !under) return null;
  if (view.status === "booting") return say("waking");
  const last = view.items.at(-1);
  if (!under && last && (last.open || (last.outcome === null && last.mine === undefined))) return null;
  return "";
}
