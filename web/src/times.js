// @ts-check
// Times of messages. The relay's events have no times, so these are the times when this
// browser received them; earlier messages have none.
import { parse, write } from "../../clients/js/src/native.js";
import { locale } from "./strings.js";

/** Messages at least this far apart, in s, have the time between them. */
const pause = 1800;
/** Maximum number of stored times. */
const most = 500;

/** @typedef {import("../../clients/js/src/reduce.js").View} View */
/** @typedef {{turn?: string|null, key?: string}} Said an item, or a turn that is not sent yet */

export class Times {
  /** @type {Map<string, number>} s since 1970, by name */
  #times;

  /** @param {import("../../clients/js/src/storage.js").Storage} storage */
  constructor(storage) {
    this.storage = storage;
    try {
      this.#times = new Map(parse(storage.get("times") ?? ""));
    } catch {
      this.#times = new Map();
    }
    setTimeout(clock, 300, 0); // the first formatting takes a browser long, and must not delay the first message
  }

  /** Records the current time for a message. @param {View} view @param {Said} said */
  note(view, said) {
    const name = nameOf(view, said);
    if (this.#times.has(name)) return;
    this.#times.set(name, Math.floor(Date.now() / 1000));
    this.storage.set("times", write([...this.#times].slice(-most)));
  }

  /** @param {View} view @param {Said} said */
  at(view, said) {
    return this.#times.get(nameOf(view, said));
  }

  clear() {
    this.#times.clear();
    this.storage.set("times", null);
  }
}

/**
 * Returns the name of a message's time. Another visitor of this browser has items with the
 * same keys, but other turns. So a key counts only with the conversation's first turn.
 * @param {View} view @param {Said} said
 */
function nameOf({ items, pending }, { turn, key }) {
  return turn ? `turn ${turn}` : `${(items.find((i) => i.turn) ?? pending[0])?.turn} ${key}`;
}

/**
 * Returns the time of a message if it was sent long after the previous one.
 * @param {number} at s since 1970
 * @param {number|undefined} before 0: there is none
 */
export function stamp(at, before) {
  const date = new Date(at * 1000);
  if (before && at - before < pause && date.toDateString() === new Date(before * 1000).toDateString()) return "";
  const midnight = (/** @type {Date} */ d) => Date.UTC(d.getFullYear(), d.getMonth(), d.getDate());
  const days = (midnight(date) - midnight(new Date())) / 864e5;
  const day = days < -1 ? date.toLocaleDateString(locale, { weekday: "long", day: "numeric", month: "long" }) : new Intl.RelativeTimeFormat(locale, { numeric: "auto" }).format(days, "day");
  return `${day}, ${clock(at)}`;
}

/** @type {Record<string, Intl.DateTimeFormat>} by locale */
const formats = {};

/** @param {number} at s since 1970 */
export function clock(at) {
  return (formats[locale] ??= new Intl.DateTimeFormat(locale, { timeStyle: "short" })).format(at * 1000);
}
