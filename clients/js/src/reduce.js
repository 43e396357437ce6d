// @ts-check
// (view, event) → view. The view is the visitor's picture of the conversation. Every
// change is made here, from the relay's events and this browser's actions. Pure: a view
// is never changed, so replay is harmless.

import { add, close, goneOn, ofTurn, patch, settle } from "./items.js";
import { back, isNew, lateUser, parseId, passed, reached } from "./place.js";
import { text } from "./text.js";
import { options, tool } from "./tools.js";
import { running } from "./turns.js";
import { emptyView } from "./view.js";

export { emptyView };

/** @typedef {import("./view.js").Attachment} Attachment */
/** @typedef {import("./view.js").Item} Item */
/** @typedef {import("./view.js").Option} Option */
/** @typedef {import("./view.js").Pending} Pending */
/** @typedef {import("./view.js").View} View */
/** @typedef {import("./view.js").RelayEvent} RelayEvent */

/**
 * @param {View} view
 * @param {RelayEvent} event
 * @returns {View}
 */
export function reduce(view, event) {
  const place = event.id ? parseId(event.id) : null;
  if (place) {
    if (place.epoch < view.epoch) return view; // of a past conversation
    const last = view.lastEventId ? parseId(view.lastEventId) : null;
    const old = last && (place.epoch < last.epoch || (place.epoch === last.epoch && place.seq <= last.seq));
    // The relay merges in user events, which may arrive late; they are recognized by
    // their turn. Any other old event has been processed before.
    if (old && !(event.type === "user" && place.epoch === last.epoch && isNew(view, event.data))) return view;
    if (old) return lateUser(view, event.data, place.seq);
  }
  const next = step(view, event, place);
  if (!place) return next;
  return passed({ ...next, lastEventId: /** @type {string} */ (event.id), epoch: Math.max(next.epoch, place.epoch) });
}

/**
 * @param {View} view
 * @param {RelayEvent} event
 * @param {{epoch: number, seq: number}|null} place
 * @returns {View}
 */
function step(view, event, place) {
  const { data } = event;
  const gone = view.status === "ended" && (!place || place.epoch <= view.epoch);
  switch (event.type) {
    case "hello": // the response to POST /v1/visitor
      return {
        ...view,
        target: data.last_event_id ?? null,
        targetBusy: !!data.agent_busy,
        caughtUp: data.last_event_id == null || (!!view.lastEventId && reached(view.lastEventId, data.last_event_id)),
      };
    case "connected": // a new stream: everything after the last numbered event is sent again
      return back(view);
    case "adopted": // another tab's view, adopted by this one
      return { ...data, pending: view.pending.filter((p) => !data.items.some((/** @type {Item} */ i) => i.turn === p.turn)) };
    case "forget": // another visitor, or none
      return { ...emptyView, banner: view.banner, pending: data.keepPending ? view.pending : [] };
    case "pending":
      return { ...view, pending: putPending(view, data) };
    case "dropped":
      return { ...view, pending: view.pending.filter((p) => p.turn !== data.turn) };
    case "chosen":
      return both(view, (v) => ({ ...v, items: patch(v.items, data.id, { mine: data.mine }) }));
    case "stopping": // this browser requested a stop, or the relay refused it
      return both(view, (v) => ({ ...v, items: ofTurn(v.items, data.turn, { stopping: data.on }) }));
    case "feedback":
      return both(view, (v) => ({ ...v, ratings: rate(v.ratings, data), items: v.items.map((i) => (i.answers === data.turn ? { ...i, rating: data.rating ?? undefined } : i)) }));
    case "notice":
      return { ...view, banner: data.text ? String(data.text) : null };
    case "idle": // the relay reports that no turn is running, whatever the count says
      return { ...close(view), busy: false, begun: 0 };
    case "session":
      return session(view, data);
    case "reset":
      return { ...emptyView, status: view.status, epoch: view.epoch, banner: view.banner, pending: view.pending, target: view.target, targetBusy: view.targetBusy, caughtUp: view.target === null };
    case "skipped": // too large to read
      return add(view, { kind: "problem", text: "", code: "event_skipped" });
    case "problem":
      return add(close(view), { kind: "problem", text: String(data.detail || data.title || ""), code: data.code });
    default:
      return gone ? view : said(view, event, place);
  }
}

/**
 * Messages and actions in the conversation.
 * @param {View} view
 * @param {RelayEvent} event
 * @param {{epoch: number, seq: number}|null} place
 * @returns {View}
 */
function said(view, event, place) {
  const { data } = event;
  switch (event.type) {
    case "user": {
      const turn = data.turn ?? null;
      const pending = view.pending.filter((p) => p.turn !== turn);
      if (turn && view.items.some((i) => i.turn === turn)) return { ...view, pending };
      // Sent during a running turn, it does not end the agent's text.
      const from = view.busy ? view : close(view);
      return add({ ...from, pending, busy: true, begun: view.begun + 1 }, { kind: "user", text: data.text, turn, seq: place?.seq, attachments: data.attachments ?? [] });
    }
    case "text":
      return { ...text(view, data), busy: true };
    case "tool":
      return tool(view, data);
    case "question":
      if (view.items.some((i) => i.kind === "question" && i.id === data.id)) return view;
      return add({ ...goneOn(close(view)), busy: true }, { kind: "question", text: data.question, id: data.id, options: options(data.options), outcome: null });
    case "approval":
      if (data.id && view.items.some((i) => i.kind === "approval" && i.id === data.id)) return view;
      return add({ ...close(view), busy: true }, { kind: "approval", text: data.tool ?? "", id: data.id ?? null, input: data.input, truncated: data.truncated === true, outcome: null });
    case "settled":
      return { ...view, items: settle(view.items, data.id ?? null, String(data.outcome ?? "settled"), view.caughtUp) };
    case "turn_end":
      return turnEnd(view, data);
    default:
      return view;
  }
}

/**
 * A turn ends once: later log entries about a stopped turn neither end another turn nor
 * undo the stop.
 * @param {View} view
 * @param {any} data
 * @returns {View}
 */
function turnEnd(view, data) {
  const reason = String(data.reason || "done");
  const at = data.turn ? view.items.findIndex((i) => i.turn === data.turn) : view.items.indexOf(running(view)[0]);
  if (at >= 0 && view.items[at].ended) return close(view);
  const begun = Math.max(0, view.begun - 1);
  const ended = { ...goneOn(close(view)), busy: begun > 0, begun, turns: view.turns + 1 };
  if (at >= 0) ended.items = ended.items.with(at, { ...ended.items[at], ended: reason, stopping: false });
  if (reason !== "done") return add(ended, { kind: "end", text: reason, code: data.code ?? "" });
  const last = ended.items.at(-1);
  const turn = at >= 0 ? ended.items[at].turn : null;
  return turn && last?.kind === "agent" ? { ...ended, items: ended.items.with(-1, { ...last, answers: turn, rating: view.ratings[turn] }) } : ended;
}

/**
 * Changes a view and the stored position.
 * @param {View} view
 * @param {(view: View) => View} change
 * @returns {View}
 */
function both(view, change) {
  return { ...change(view), mark: view.mark && change(view.mark) };
}

/** @param {View["ratings"]} ratings @param {{turn: string, rating: "up"|"down"|null}} word */
function rate(ratings, { turn, rating }) {
  const { [turn]: _, ...others } = ratings;
  return rating ? { ...others, [turn]: rating } : others;
}

/**
 * @param {View} view
 * @param {any} data
 * @returns {View}
 */
function session(view, data) {
  const status = String(data.status);
  const epoch = Number(data.epoch) || 0;
  if (status === "ended" || (view.epoch && epoch > view.epoch)) {
    // The conversation has ended: nothing of it is shown any longer.
    return { ...emptyView, status, epoch, banner: view.banner, pending: view.pending, lastEventId: view.lastEventId };
  }
  const idle = ["none", "sleeping", "failed"].includes(status);
  return { ...view, status, epoch, busy: idle ? false : view.busy, begun: idle ? 0 : view.begun };
}

/** @param {View} view @param {Pending} turn */
function putPending(view, turn) {
  if (view.items.some((i) => i.turn === turn.turn)) return view.pending;
  const at = view.pending.findIndex((p) => p.turn === turn.turn);
  return at < 0 ? [...view.pending, turn] : view.pending.with(at, turn);
}
