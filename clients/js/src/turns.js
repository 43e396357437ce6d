// @ts-check
// The unfinished turns of a view.

/** @typedef {import("./reduce.js").View} View */

/**
 * The keys of all unfinished turns, wherever they are now.
 * @param {View} view
 */
export function unfinished(view) {
  const waiting = view.pending.filter((p) => !/^(failed|stopped)$/.test(p.state));
  return [...(view.busy ? running(view) : []), ...waiting].flatMap(({ turn }) => turn ?? []);
}

/** The messages whose turns are running, the first to end first. @param {View} view */
export function running({ items, begun }) {
  return items.filter((i) => i.kind === "user" && !i.ended).slice(-Math.max(1, begun));
}
