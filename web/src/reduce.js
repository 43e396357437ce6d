// @ts-check
// (view, event) → view. The view is what the visitor sees of the conversation;
// every change is made here, from the relay's events and from what this
// browser does. Pure: a view is never changed, so replay is harmless.

/**
 * @typedef {object} Attachment
 * @property {string} name
 * @property {string} mime
 */

/**
 * One thing in the transcript.
 * @typedef {object} Item
 * @property {string} key stable over replays of the same events
 * @property {"user"|"agent"|"tool"|"question"|"approval"|"end"|"problem"} kind
 * @property {string} text
 * @property {boolean} [open] agent: true while pieces come, false when they
 *   ended without their whole block, absent on a whole block
 * @property {string|null} [turn] user: the key of the turn
 * @property {number} [seq] user: its place, when numbered
 * @property {Attachment[]} [attachments] user
 * @property {string} [name] tool
 * @property {string} [state] tool: running, done, failed …
 * @property {string|null} [id] question, approval; null: the operator decides
 * @property {Option[]} [options] question
 * @property {string|null} [outcome] question, approval: null while unsettled
 * @property {boolean} [elsewhere] question, approval: settled while we looked on
 * @property {string} [mine] question, approval: what was chosen in this tab
 * @property {unknown} [input] approval
 * @property {boolean} [truncated] approval: the relay left out a part of the input
 * @property {string} [code] end, problem
 */

/**
 * @typedef {object} Option
 * @property {string} label what is shown, and answered
 * @property {string} detail
 */

/**
 * A turn that this browser still owns: the relay has not accepted it, or has
 * and its user event is yet to come.
 * @typedef {object} Pending
 * @property {string} turn
 * @property {string} text
 * @property {Attachment[]} attachments
 * @property {"sending"|"waiting"|"failed"|"sent"} state
 * @property {string} code why it waits or failed
 * @property {string} detail
 * @property {number} until when a waiting turn is sent again, ms since 1970
 * @property {number} [sent] how much of its attachments is sent, 0 to 1
 */

/**
 * @typedef {object} View
 * @property {string} status of the session
 * @property {number} epoch
 * @property {Item[]} items
 * @property {Pending[]} pending
 * @property {boolean} busy a turn runs
 * @property {number} begun turns that began and did not end
 * @property {boolean} caughtUp what comes now is news, not history
 * @property {string|null} lastEventId
 * @property {string|null} target last event id when this browser arrived
 * @property {boolean} targetBusy whether a turn ran then
 * @property {number} turns ended in this epoch
 * @property {View|null} mark the view just after the last numbered event
 */

/**
 * @typedef {object} RelayEvent
 * @property {string} type an event of the stream, or one of: hello, connected,
 *   adopted, pending, forget, dropped, chosen
 * @property {string|null} [id] `<epoch>-<seq>`
 * @property {any} data
 */

/** @type {View} */
export const emptyView = Object.freeze({
  status: "none",
  epoch: 0,
  items: [],
  pending: [],
  busy: false,
  begun: 0,
  caughtUp: true,
  lastEventId: null,
  target: null,
  targetBusy: false,
  turns: 0,
  mark: null,
});

/**
 * @param {View} view
 * @param {RelayEvent} event
 * @returns {View}
 */
export function reduce(view, event) {
  const place = event.id ? parseId(event.id) : null;
  if (place) {
    if (place.epoch < view.epoch) return view; // of a conversation that is over
    const last = view.lastEventId ? parseId(view.lastEventId) : null;
    const old = last && (place.epoch < last.epoch || (place.epoch === last.epoch && place.seq <= last.seq));
    // A user event is merged in by the relay and may come late; it is known by
    // its turn. Anything else that is old was seen before.
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
    case "hello": // the answer to POST /v1/visitor
      return {
        ...view,
        target: data.last_event_id ?? null,
        targetBusy: !!data.agent_busy,
        caughtUp: data.last_event_id == null || data.last_event_id === view.lastEventId,
      };
    case "connected": // a new stream: what followed the last numbered event comes again
      return back(view);
    case "adopted": // another tab's view, which this one goes on with
      return { ...data, pending: view.pending.filter((p) => !data.items.some((/** @type {Item} */ i) => i.turn === p.turn)) };
    case "forget": // another visitor, or none
      return { ...emptyView, pending: data.keepPending ? view.pending : [] };
    case "pending":
      return { ...view, pending: putPending(view, data) };
    case "dropped":
      return { ...view, pending: view.pending.filter((p) => p.turn !== data.turn) };
    case "chosen":
      return { ...view, items: patch(view.items, data.id, { mine: data.mine }), mark: view.mark && { ...view.mark, items: patch(view.mark.items, data.id, { mine: data.mine }) } };
    case "idle": // the relay says that no turn runs, whatever we counted
      return { ...close(view), busy: false, begun: 0 };
    case "session":
      return session(view, data);
    case "reset":
      return { ...emptyView, status: view.status, epoch: view.epoch, pending: view.pending, target: view.target, targetBusy: view.targetBusy, caughtUp: view.target === null };
    case "skipped": // too large to be read
      return add(view, { kind: "problem", text: "", code: "event_skipped" });
    case "problem":
      return add(close(view), { kind: "problem", text: String(data.detail || data.title || ""), code: data.code });
    default:
      return gone ? view : said(view, event, place);
  }
}

/**
 * What was said and done in the conversation.
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
      // Said into a running turn, it does not end what the agent is saying.
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
    case "turn_end": {
      const begun = Math.max(0, view.begun - 1);
      const ended = { ...goneOn(close(view)), busy: begun > 0, begun, turns: view.turns + 1 };
      if (data.reason === "done" || !data.reason) return ended;
      return add(ended, { kind: "end", text: data.reason, code: data.code ?? "" });
    }
    default:
      return view;
  }
}

/** @param {string} id */
export function parseId(id) {
  const m = /^(\d{1,15})-(\d{1,16})$/.exec(id);
  return m && { epoch: Number(m[1]), seq: Number(m[2]) };
}

/**
 * Keeps the view as a place to come back to, and notes what the passing of
 * the last event known at arrival means.
 * @param {View} view
 * @returns {View}
 */
function passed(view) {
  if (!view.caughtUp && view.target && reached(view.lastEventId, view.target)) {
    const idle = view.lastEventId === view.target && !view.targetBusy;
    view = { ...view, caughtUp: true, busy: idle ? false : view.busy, begun: idle ? 0 : view.begun };
  }
  return { ...view, mark: { ...view, mark: null } };
}

/** @param {string|null} id @param {string} target */
function reached(id, target) {
  const a = id && parseId(id);
  const b = parseId(target);
  return !a || !b || a.epoch > b.epoch || (a.epoch === b.epoch && a.seq >= b.seq);
}

/** @param {View} view @returns {View} */
function back(view) {
  const to = view.mark ?? { ...emptyView, target: view.target, targetBusy: view.targetBusy, caughtUp: view.caughtUp };
  return { ...to, status: view.status, epoch: view.epoch, caughtUp: view.caughtUp, pending: view.pending.filter((p) => !to.items.some((i) => i.turn === p.turn)), mark: view.mark };
}

/** @param {View} view @param {any} data */
function isNew(view, data) {
  return !data.turn || !view.items.some((i) => i.turn === data.turn);
}

/**
 * Puts a user event that came late where its number belongs.
 * @param {View} view @param {any} data @param {number} seq
 * @returns {View}
 */
function lateUser(view, data, seq) {
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

/**
 * @param {View} view
 * @param {any} data
 * @returns {View}
 */
function session(view, data) {
  const status = String(data.status);
  const epoch = Number(data.epoch) || 0;
  if (status === "ended" || (view.epoch && epoch > view.epoch)) {
    // The conversation is over: nothing of it is shown any more.
    return { ...emptyView, status, epoch, pending: view.pending, lastEventId: view.lastEventId };
  }
  const idle = ["none", "sleeping", "failed"].includes(status);
  return { ...view, status, epoch, busy: idle ? false : view.busy, begun: idle ? 0 : view.begun };
}

/**
 * Adds an item after the last numbered event. Its key is made of that event
 * and its place, so that the same events give the same keys.
 * @param {View} view
 * @param {Omit<Item, "key">} item
 * @returns {View}
 */
function add(view, item) {
  const key = `${view.epoch}/${view.items.length}${item.kind[0]}`;
  return { ...view, items: [...view.items, { ...item, key }] };
}

/** No more pieces will come to what is open. @param {View} view @returns {View} */
function close(view) {
  const at = view.items.findLastIndex((i) => i.open);
  return at < 0 ? view : { ...view, items: view.items.with(at, { ...view.items[at], open: false }) };
}

/**
 * An agent that goes on has what it waited for: its tools are done, and its
 * operator has decided.
 * @param {View} view
 * @returns {View}
 */
function goneOn(view) {
  const items = settle(view.items, null, "settled", false);
  return { ...view, items: items.map((i) => (i.state === "running" ? { ...i, state: "done" } : i)) };
}

/**
 * Text comes in pieces, in whole blocks, or as both: then the block that says
 * what the pieces since the last block said takes their place.
 * @param {View} view
 * @param {any} data
 * @returns {View}
 */
function text(view, data) {
  const piece = String(data.text ?? "");
  if (data.delta) {
    const at = view.items.findLastIndex((i) => i.open);
    if (at >= 0) return { ...view, items: view.items.with(at, { ...view.items[at], text: view.items[at].text + piece }) };
    return piece ? add(goneOn(view), { kind: "agent", text: piece, open: true }) : view;
  }
  const { items } = view;
  const since = items.findLastIndex((i) => i.kind === "agent" && i.open === undefined) + 1;
  const pieces = items.flatMap((i, at) => (at >= since && i.kind === "agent" ? [at] : []));
  const last = pieces.at(-1);
  if (last === undefined || !same(items[last].text, piece)) {
    if (pieces.length < 2 || !same(pieces.map((at) => items[at].text).join(""), piece)) {
      return piece.trim() ? add(goneOn(close(view)), { kind: "agent", text: piece, open: undefined }) : view;
    }
    return { ...view, items: items.map((i, at) => (pieces.includes(at) ? { ...i, open: undefined } : i)) };
  }
  return { ...view, items: items.with(last, { ...items[last], text: piece, open: undefined }) };
}

/**
 * A block equals its pieces; the pieces may have lost their beginning when
 * they came from before this stream. Both are one text however its letters are
 * composed and its lines end, and whatever a cut did to a character.
 * @param {string} pieces @param {string} block
 */
function same(pieces, block) {
  if (pieces === block) return true;
  const [a, b] = [pieces, block].map((s) => s.replace(/\r\n?/g, "\n").normalize("NFC"));
  return b.trim() === a.trim() || mended(a, b) || (a.length > 16 && (b.endsWith(a) || b.startsWith(a)));
}

/** Ways in which pieces may fit a block that are followed at once. */
const maxWays = 64;

/**
 * Reports whether pieces are a block in which characters were cut into pieces
 * and so came as U+FFFD, up to one for each of the four bytes that they have.
 * @param {string} pieces @param {string} block
 */
function mended(pieces, block) {
  if (!pieces.includes("\ufffd")) return false;
  const text = block.trim();
  let ways = [0]; // places in the block that the pieces so far may end at
  for (const part of pieces.trim().split(/(\ufffd+)/)) {
    if (part[0] === "\ufffd") {
      const far = Math.min(2 * part.length, maxWays);
      ways = [...new Set(ways.flatMap((at) => Array.from({ length: far }, (_, n) => at + n + 1)))].slice(0, maxWays);
    } else {
      ways = ways.filter((at) => text.startsWith(part, at)).map((at) => at + part.length);
    }
  }
  return ways.includes(text.length);
}

/** @param {View} view @param {any} data @returns {View} */
function tool(view, data) {
  const name = String(data.name ?? "");
  const at = view.items.findIndex((i) => i.kind === "tool" && i.name === name && i.state === "running");
  const state = toolState(data.state);
  if (at >= 0 && state !== "running") {
    return { ...view, busy: true, items: view.items.with(at, { ...view.items[at], state, text: data.summary || view.items[at].text }) };
  }
  if (state !== "running") return view; // what ended had not been shown
  return add({ ...close(view), items: settle(close(view).items, null, "settled", false), busy: true }, { kind: "tool", name, text: data.summary ?? "", state });
}

/** @param {unknown} state */
function toolState(state) {
  if (/fail|error|denied/.test(String(state))) return "failed";
  return /done|complete|end|result|ok|output/.test(String(state)) ? "done" : "running";
}

/** @param {unknown} list @returns {Option[]} */
function options(list) {
  if (!Array.isArray(list)) return [];
  return list.slice(0, 20).map((o) => ({ label: String(o?.label ?? o?.value ?? o ?? ""), detail: String(o?.description ?? "") })).filter((o) => o.label);
}

/**
 * @param {Item[]} items
 * @param {string|null} id null: what waits for the operator
 * @param {string} outcome
 * @param {boolean} live
 */
function settle(items, id, outcome, live) {
  return items.map((i) => (i.outcome === null && (i.id ?? null) === id ? { ...i, outcome, elsewhere: outcome === "elsewhere" || (live && i.mine === undefined) } : i));
}

/** @param {Item[]} items @param {string} id @param {Partial<Item>} change */
function patch(items, id, change) {
  return items.map((i) => (i.id === id ? { ...i, ...change } : i));
}

/** @param {View} view @param {Pending} turn */
function putPending(view, turn) {
  if (view.items.some((i) => i.turn === turn.turn)) return view.pending;
  const at = view.pending.findIndex((p) => p.turn === turn.turn);
  return at < 0 ? [...view.pending, turn] : view.pending.with(at, turn);
}
