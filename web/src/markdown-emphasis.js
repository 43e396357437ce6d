// @ts-check
// Matching of emphasis and strikethrough delimiters: the algorithm of CommonMark 0.31
// with its stack of delimiter runs, and the rule of three.

import { plain } from "./plain.js";

/**
 * A node of the tree. `t` is the element's name, `c` its children.
 * @typedef {{t: string, c: Node[], [prop: string]: any}} Branch
 * @typedef {string|Branch} Node
 */

/**
 * A delimiter run or output, in document order.
 * @typedef {object} Item
 * @property {Node|null} v the output; null for delimiter runs
 * @property {Item|null} prev
 * @property {Item|null} next
 * @property {string} [ch] the delimiter's character
 * @property {number} [n] its index among the runs
 * @property {number} [len] delimiters left in the run
 * @property {number} [orig] original length of the run
 * @property {boolean} [opens]
 * @property {boolean} [closes]
 * @property {Item|null} [below] the run before this one on the stack
 * @property {Item|null} [above] the run after it
 */

/** Maximum number of pending runs and brackets, which bounds the depth. */
export const maxOpen = 64;

/** The delimiter runs that may still match, as a stack. */
export class Runs {
  /** @type {Item|null} the top of the stack */
  top = null;
  /** Number of runs that can open. */
  waiting = 0;
  #n = 0;

  /** @param {Item} tail the item before the run @param {string} ch @param {number} len @param {boolean} opens @param {boolean} closes @returns {Item} */
  put(tail, ch, len, opens, closes) {
    /** @type {Item} */
    const item = { v: null, prev: tail, next: null, ch, n: this.#n++, len, orig: len, opens, closes, below: this.top, above: null };
    tail.next = item;
    if (this.top) this.top.above = item;
    this.top = item;
    if (opens) this.waiting++;
    return item;
  }

  /**
   * Matches the runs above `bottom` and removes them from the stack.
   * @param {Item|null} bottom
   * @param {boolean} [open] whether the text is incomplete, so that an unmatched run may still get a match
   */
  emphasis(bottom, open = false) {
    /** @type {Map<string, number>} below this run there is no opener of the kind */
    const floors = new Map();
    let closer = this.top === bottom ? null : this.top;
    while (closer && closer.below !== bottom) closer = closer.below ?? null;
    while (closer) {
      if (!closer.closes) {
        closer = closer.above ?? null;
        continue;
      }
      const key = `${closer.ch}${closer.opens}${(closer.orig ?? 0) % 3}`;
      const floor = Math.max(floors.get(key) ?? -1, bottom?.n ?? -1);
      let opener = closer.below ?? null;
      while (opener && (opener.n ?? 0) > floor && !pairs(opener, closer)) opener = opener.below ?? null;
      if (!opener || (opener.n ?? 0) <= floor) {
        floors.set(key, closer.below?.n ?? -1);
        const next = closer.above ?? null;
        if (!closer.opens) this.drop(closer);
        closer = next;
        continue;
      }
      while (closer.below && closer.below !== opener) this.drop(closer.below);
      const n = (opener.len ?? 0) >= 2 && (closer.len ?? 0) >= 2 ? 2 : 1;
      wrap(opener, closer, closer.ch === "~" ? "del" : n === 2 ? "strong" : "em");
      opener.len = (opener.len ?? 0) - n;
      closer.len = (closer.len ?? 0) - n;
      if (!opener.len) this.drop(opener);
      if (!closer.len) {
        const next = closer.above ?? null;
        this.drop(closer);
        closer = next;
      }
    }
    while (this.top && this.top !== bottom) this.drop(this.top, open);
  }

  /**
   * Removes a run from the stack. The rest of it becomes text, unless it is `kept` for
   * closeOpen.
   * @param {Item} run
   * @param {boolean} [kept]
   */
  drop(run, kept = false) {
    if (run.below) run.below.above = run.above;
    if (run.above) run.above.below = run.below;
    if (this.top === run) this.top = run.below ?? null;
    if (run.opens) this.waiting--;
    if (!kept || !run.opens) run.opens = false;
  }
}

/** Closes open runs at the end of the text. @param {Item} head @param {Item} tail */
export function closeOpen(head, tail) {
  for (let item = tail; item !== head && item.prev; item = item.prev) {
    if (!item.ch || !item.opens || !item.len) continue;
    if (item.next) wrap(item, null, item.ch === "~" ? "del" : item.len >= 2 ? "strong" : "em");
    item.len = 0;
  }
}

/**
 * @param {Item} opener
 * @param {Item} closer
 */
function pairs(opener, closer) {
  if (!opener.opens || opener.ch !== closer.ch) return false;
  if (closer.ch === "~") return true;
  const sum = (opener.orig ?? 0) + (closer.orig ?? 0);
  const three = (opener.closes || closer.opens) && sum % 3 === 0;
  return !three || ((opener.orig ?? 0) % 3 === 0 && (closer.orig ?? 0) % 3 === 0);
}

/**
 * Wraps the items between two runs in one element.
 * @param {Item} opener
 * @param {Item|null} closer null: up to the end
 * @param {string} t
 */
function wrap(opener, closer, t) {
  const first = opener.next;
  if (closer?.prev) closer.prev.next = null;
  /** @type {Item} */
  const item = { v: { t, c: flatten(first) }, prev: opener, next: closer };
  opener.next = item;
  if (closer) closer.prev = item;
}

/**
 * @param {Item|null} item
 * @returns {Node[]}
 */
export function flatten(item) {
  /** @type {Node[]} */
  const out = [];
  /** @type {string[]} parts of the text to be joined */
  let text = [];
  const flush = () => {
    const s = plain(text.join(""));
    if (s) out.push(s);
    text = [];
  };
  for (; item; item = item.next) {
    const v = item.ch ? item.ch.repeat(item.len ?? 0) : item.v;
    if (typeof v === "string") {
      text.push(v);
    } else if (v) {
      flush();
      out.push(v);
    }
  }
  flush();
  return out;
}
