// @ts-check
// The visitor's view of the conversation.

/**
 * @typedef {object} Attachment
 * @property {string} name
 * @property {string} mime
 */

/**
 * One entry of the transcript.
 * @typedef {object} Item
 * @property {string} key stable over replays of the same events
 * @property {"user"|"agent"|"tool"|"question"|"approval"|"end"|"problem"} kind
 * @property {string} text
 * @property {boolean} [open] agent: true while deltas arrive, false if they ended without
 *   their complete block, absent on a complete block
 * @property {string|null} [turn] user: the key of the turn
 * @property {number} [seq] user: its position, if numbered
 * @property {string} [ended] user: how its turn ended: done, failed, interrupted or stopped
 * @property {boolean} [stopping] user: whether this browser requested its stop
 * @property {string} [answers] agent: the turn whose answer ends here, once it has ended
 * @property {"up"|"down"} [rating] agent: the visitor's rating of that answer
 * @property {Attachment[]} [attachments] user
 * @property {string} [name] tool
 * @property {string} [state] tool: running, done, failed …
 * @property {string|null} [id] question, approval; null: the operator decides
 * @property {Option[]} [options] question
 * @property {string|null} [outcome] question, approval: null while unsettled
 * @property {boolean} [elsewhere] question, approval: settled elsewhere while it was shown
 * @property {string} [mine] question, approval: the choice made in this tab
 * @property {unknown} [input] approval
 * @property {boolean} [truncated] approval: the relay cut off a part of the input
 * @property {string} [code] end, problem
 */

/**
 * @typedef {object} Option
 * @property {string} label the text shown, and sent as the answer
 * @property {string} detail
 */

/**
 * A turn that this browser still owns: the relay has not accepted it, or has accepted it
 * and its user event has not arrived.
 * @typedef {object} Pending
 * @property {string} turn
 * @property {string} text
 * @property {Attachment[]} attachments
 * @property {"sending"|"waiting"|"failed"|"sent"|"stopped"} state stopped: before the agent received it
 * @property {string} code the reason of the wait or failure
 * @property {number} [status] of that refusal; 0 if no response arrived
 * @property {string} detail
 * @property {number} until when a waiting turn is retried or a failed one may be, ms since 1970
 * @property {boolean} [stopping] whether this browser requested its stop
 * @property {number} [sent] fraction of its attachments sent, 0 to 1
 */

/**
 * @typedef {object} View
 * @property {string} status of the session
 * @property {number} epoch
 * @property {Item[]} items
 * @property {Pending[]} pending
 * @property {boolean} busy a turn is running
 * @property {number} begun turns that started and have not ended
 * @property {boolean} caughtUp events are new from now on, not history
 * @property {string|null} lastEventId
 * @property {string|null} target last event id when this browser arrived
 * @property {boolean} targetBusy whether a turn was running then
 * @property {number} turns ended in this epoch
 * @property {Record<string, "up"|"down">} ratings of answers, by turn
 * @property {string|null} banner the operator's notice to all visitors
 * @property {View|null} mark the view just after the last numbered event
 */

/**
 * @typedef {object} RelayEvent
 * @property {string} type an event of the stream, or one of: hello, connected,
 *   adopted, pending, forget, dropped, chosen, stopping, idle
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
  ratings: Object.freeze({}),
  banner: null,
  mark: null,
});
