// @ts-check
// Finds the message of a failed turn.

/** @typedef {import("../../clients/js/src/reduce.js").Item} Item */

/**
 * Returns the message whose turn ended with an item. Messages may be sent while a turn
 * runs, and turns end in the order in which they began.
 * @param {Item[]} items
 * @param {Item} end of a failed turn
 */
export function failedBy(items, end) {
  const at = items.findIndex((i) => i.key === end.key);
  /** @type {Item[]} */
  const failed = [];
  /** @type {Item|undefined} */
  let said;
  for (const item of items.slice(0, at + 1)) {
    if (item.kind === "user" && item.ended === "failed") failed.push(item);
    if (item.kind === "end" && item.text === "failed") said = failed.shift();
  }
  return said ?? items.slice(0, at + 1).findLast((i) => i.kind === "user");
}
