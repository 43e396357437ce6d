// @ts-check
// Changes to the items of a view, for all events.

/** @typedef {import("./view.js").View} View */
/** @typedef {import("./view.js").Item} Item */

/**
 * Adds an item after the last numbered event. Its key is derived from that event and its
 * position, so that the same events give the same keys.
 * @param {View} view
 * @param {Omit<Item, "key">} item
 * @returns {View}
 */
export function add(view, item) {
  const key = `${view.epoch}/${view.items.length}${item.kind[0]}`;
  return { ...view, items: [...view.items, { ...item, key }] };
}

/** Closes the open items: they receive no more deltas. @param {View} view @returns {View} */
export function close(view) {
  const at = view.items.findLastIndex((i) => i.open);
  return at < 0 ? view : { ...view, items: view.items.with(at, { ...view.items[at], open: false }) };
}

/**
 * An agent that continues has received what it waited for: its tools are done, and its
 * operator has decided.
 * @param {View} view
 * @returns {View}
 */
export function goneOn(view) {
  const items = settle(view.items, null, "settled", false);
  return { ...view, items: items.map((i) => (i.state === "running" ? { ...i, state: "done" } : i)) };
}

/**
 * @param {Item[]} items
 * @param {string|null} id null: the prompts that wait for the operator
 * @param {string} outcome
 * @param {boolean} live
 */
export function settle(items, id, outcome, live) {
  return items.map((i) => (i.outcome === null && (i.id ?? null) === id ? { ...i, outcome, elsewhere: outcome === "elsewhere" || (live && i.mine === undefined) } : i));
}

/** @param {Item[]} items @param {string} turn @param {Partial<Item>} change */
export function ofTurn(items, turn, change) {
  return items.map((i) => (i.turn === turn ? { ...i, ...change } : i));
}

/** @param {Item[]} items @param {string} id @param {Partial<Item>} change */
export function patch(items, id, change) {
  return items.map((i) => (i.id === id ? { ...i, ...change } : i));
}
