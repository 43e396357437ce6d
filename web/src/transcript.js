// @ts-check
// Renders the view as rows. Rows are kept by key: unchanged rows are not touched.
import { h } from "./h.js";
import { isHidden } from "../../clients/js/src/doc.js";
import { row } from "./rows.js";
import { say } from "./strings.js";
import { stamp } from "./times.js";

/** @typedef {import("./rows.js").Row} Row */
/** @typedef {import("../../clients/js/src/reduce.js").View} View */

/** Time for building rows at once, in ms; the layout takes about twice as long. */
const budget = 4;
/** The same for rows outside the visible area. */
const above = 30;

export class Transcript {
  /** @type {Map<string, {row: Row, said: unknown}>} */
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
    this.starters.replaceChildren(...starters.map((s) => h("button", { class: "starter", part: "starter", onclick: () => this.onStarter(s) }, s)));
  }

  /**
   * Shows a view, the newest items first, for a few ms; returns whether something is left
   * to show.
   * @param {View} view
   */
  render(view) {
    const all = [...view.items, ...view.pending];
    this.hello.hidden = all.length > 0 || !view.caughtUp;
    const began = Date.now();
    const late = (ms = budget) => Date.now() - began >= ms && !isHidden();
    const most = this.#rows.size > 50 ? above : budget;
    /** @type {Map<string, any>} */
    const wanted = new Map();
    /** @type {number|undefined} */
    let before;
    for (const said of all) {
      const key = keyOf(said);
      const at = this.times.at(view, said);
      const text = at && stamp(at, before);
      if (text) wanted.set(`at ${key}`, text);
      before = at ?? before;
      wanted.set(key, said);
    }
    for (const [key, { row }] of this.#rows) {
      if (wanted.has(key)) continue;
      row.el.replaceWith();
      this.#rows.delete(key);
    }
    this.#status(view);
    let left = false;
    let full = false;
    for (const [key, said] of [...wanted].reverse()) {
      let kept = this.#rows.get(key);
      if (kept?.said === said) continue;
      if (full) {
        left = true;
        continue;
      }
      if (!kept) {
        kept = { row: typeof said === "string" ? stampRow() : row(said, this.acts), said: null };
        this.#rows.set(key, kept);
      }
      if (kept.row.update(said, late)) left = true;
      else kept.said = said;
      full = late(most);
    }
    let at = this.hello.nextSibling;
    for (const key of wanted.keys()) {
      const el = this.#rows.get(key)?.row.el;
      if (el === at) at = at.nextSibling;
      else if (el) this.thread.insertBefore(el, at);
    }
    return left;
  }

  /** Updates every row at the next rendering. */
  renew() {
    for (const kept of this.#rows.values()) kept.said = null;
  }

  /** Updates countdowns; returns whether there are any. @param {View} view */
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

/** Returns the key of a row; a turn's key stays the same when the turn is accepted. @param {{turn?: string|null, key?: string}} item */
function keyOf({ turn, key }) {
  return turn ? `turn ${turn}` : (key ?? "");
}

/** The time of the following message. @returns {Row} */
function stampRow() {
  const el = h("div", { class: "stamp", part: "time" });
  return { el, update: (/** @type {string} */ text) => el.replaceChildren(text) };
}

/**
 * Returns what the agent is doing: null if nothing, "" if it is just busy.
 * @param {View} view
 * @returns {string|null}
 */
export function statusOf(view) {
  const under = view.pending.some((p) => p.state === "sent" || p.state === "sending" || (p.state === "waiting" && p.code === "session_booting"));
  if (!view.busy && !under) return null;
  if ([...view.items, ...view.pending].some((i) => i.stopping)) return say("stopping");
  if (view.status === "booting") return say("waking");
  const last = view.items.at(-1);
  if (!under && last && (last.open || (last.outcome === null && last.mine === undefined))) return null;
  return "";
}
