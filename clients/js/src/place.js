// @ts-check
// The position of a view in the conversation: the last numbered event, and whether the
// history is complete.

import { emptyView } from "./view.js";

/** @typedef {import("./view.js").View} View */
/** @typedef {import("./view.js").Item} Item */

/** @param {string} id */
export function parseId(id) {
  const m = /^(\d{1,15})-(\d{1,16})$/.exec(id);
  return m && { epoch: Number(m[1]), seq: Number(m[2]) };
}

/**
 * Stores the view as a position to return to, and handles the passing of the last event
 * known at arrival.
 * @param {View} view
 * @returns {View}
 */
export function passed(view) {
  if (!view.caughtUp && view.target && reached(view.lastEventId, view.target)) {
    const idle = view.lastEventId === view.target && !view.targetBusy;
    view = { ...view, caughtUp: true, busy: idle ? false : view.busy, begun: idle ? 0 : view.begun };
  }
  return { ...view, mark: { ...view, mark: null } };
}

/** @param {string|null} id @param {string} target */
export function reached(id, target) {
  const a = id && parseId(id);
  const b = parseId(target);
  return !a || !b || a.epoch > b.epoch || (a.epoch === b.epoch && a.seq >= b.seq);
}

/** @param {View} view @returns {View} */
export function back(view) {
  const to = view.mark ?? { ...emptyView, target: view.target, targetBusy: view.targetBusy, caughtUp: view.caughtUp };
  return { ...to, status: view.status, epoch: view.epoch, banner: null, caughtUp: view.caughtUp, pending: view.pending.filter((p) => !to.items.some((i) => i.turn === p.turn)), mark: view.mark };
}

/** @param {View} view @param {any} data */
export function isNew(view, data) {
  return !data.turn || !view.items.some((i) => i.turn === data.turn);
}

/**
 * Inserts a late user event where its number belongs.
 * @param {View} view @param {any} data @param {number} seq
 * @returns {View}
 */
export function lateUser(view, data, seq) {
  if (view.items.some((i) => i.kind === "user" && i.seq === seq)) return view;
  /** @param {View} v @returns {View} */
  const put = (v) => {
    let at = v.items.findIndex((i) => i.kind === "user" && (i.seq ?? 0) > seq);
    if (at < 0) at = v.items.length;
    const item = /** @type {Item} */ ({ key: `u${v.epoch}-${seq}`, kind: "user", text: data.text, turn: data.turn ?? null, seq, attachments: data.attachments ?? [] });
    return { ...v, items: v.items.toSpliced(at, 0, item), pending: v.pending.filter((p) => p.turn !== data.turn) };
  };
  return { ...put(view), mark: view.mark && put(view.mark) };
}
