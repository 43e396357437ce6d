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

/**
 * Follows one turn from view to view. The result says where the turn is: an item, a
 * pending turn, or gone, if it was discarded or its conversation is over. While items are
 * sent again after a reset, it is none of these.
 * @param {string} turn
 */
export function track(turn) {
  /** @type {{epoch: number, waits: boolean}|null} where it was last */
  let last = null;
  return (/** @type {View} */ view) => {
    const item = view.items.find((i) => i.turn === turn);
    const waits = view.pending.find((p) => p.turn === turn);
    const gone = !!last && !item && !waits && (last.waits || view.epoch !== last.epoch || view.status === "ended");
    if (item || waits) last = { epoch: view.epoch, waits: !item };
    return { item, waits, gone };
  };
}
