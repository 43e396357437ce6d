// @ts-check
// Rarely used actions, loaded on first use.
import { Problem } from "./client.js";
import { track, unfinished } from "./turns.js";

/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./reduce.js").View} View */

/**
 * One of a visitor's conversations.
 * @typedef {object} Past
 * @property {number} epoch
 * @property {string} title the beginning of its first message
 * @property {string} started_at RFC 3339
 * @property {string} last_active_at RFC 3339
 * @property {boolean} current whether the next turn belongs to it
 */

/**
 * Rates an answer; the last rating counts.
 * @param {Conversation} conversation
 * @param {string} turn
 * @param {"up"|"down"|null} rating null withdraws it
 * @param {string} [comment]
 */
export async function feedback(conversation, turn, rating, comment) {
  const before = conversation.view.ratings[turn] ?? null;
  conversation.apply({ type: "feedback", data: { turn, rating } });
  try {
    await conversation.client.call("POST", "v1/feedback", { body: { turn, rating, comment: comment || undefined } });
  } catch (err) {
    conversation.apply({ type: "feedback", data: { turn, rating: before } });
    throw err;
  }
}

/**
 * Answers a question or a permission prompt.
 * @param {Conversation} conversation
 * @param {string} id
 * @param {{answer: string}|{decision: "approve"|"deny"}} answer
 */
export async function respond(conversation, id, answer) {
  const mine = "answer" in answer ? answer.answer : answer.decision;
  conversation.apply({ type: "chosen", data: { id, mine } });
  try {
    await conversation.client.call("POST", "v1/responses", { body: { id, ...answer } });
  } catch (err) {
    if (err instanceof Error && "code" in err && /^prompt_(settled|unknown)$/.test(String(err.code))) {
      conversation.apply({ type: "settled", data: { id, outcome: "settled" } });
    }
    conversation.apply({ type: "chosen", data: { id, mine: undefined } });
    throw err;
  }
}

/** @param {Conversation} conversation @returns {Promise<Past[]>} newest first */
export async function conversations({ client }) {
  return (await (await client.call("GET", "v1/conversations")).json()).conversations;
}

/** All data about the visitor, as a JSON document. @param {Conversation} conversation @returns {Promise<Blob>} */
export async function download({ client }) {
  return (await client.call("GET", "v1/export", { stream: true })).blob();
}

/**
 * Deletes one conversation, here and at the agent's; the current one ends. One that does
 * not exist counts as deleted: the response to an earlier request may have been lost.
 * @param {Conversation} conversation
 * @param {number} epoch
 */
export async function erase(conversation, epoch) {
  await end(conversation, epoch, () => conversation.client.call("DELETE", `v1/conversations/${epoch}`).catch(unlessGone));
}

/** @param {unknown} err */
function unlessGone(err) {
  if (!(err instanceof Problem && err.code === "not_found")) throw err;
}

/**
 * Agrees to the current text of the consent, and sends the message that waited for it.
 * @param {Conversation} conversation
 * @returns {Promise<import("./client.js").Introduction>}
 */
export async function agree({ client, storage, stream, outbox, view }) {
  // If the visitor has agreed in another tab meanwhile, this tab becomes the same
  // visitor.
  const theirs = storage.elsewhere("token");
  const before = storage.get("token");
  if (theirs) storage.set("token", theirs);
  await client.meet();
  const answer = await client.meet(client.introduction?.consent?.version ?? "");
  if (before !== storage.get("token")) stream.restart();
  stream.settle();
  for (const { turn, code } of view.pending) if (code === "consent_required") outbox.retry(turn);
  return answer;
}

/** Ends the conversation; the next turn starts another. @param {Conversation} conversation */
export function newConversation(conversation) {
  const { client, view } = conversation;
  return end(conversation, view.epoch, () => client.call("DELETE", "v1/session"));
}

/**
 * Ends the current conversation, with its unsent turns. The relay may take seconds to
 * respond. What the visitor sends meanwhile belongs to the next conversation.
 * @param {Conversation} conversation
 * @param {number} which its epoch; if it is not the current one, nothing ends here
 * @param {() => Promise<unknown>} request
 */
async function end(conversation, which, request) {
  const { epoch, pending } = conversation.view;
  await request();
  if (which !== epoch) return;
  for (const { turn } of pending) conversation.drop(turn);
  if (conversation.view.epoch === epoch) conversation.apply({ type: "session", data: { status: "ended", epoch } });
}

/**
 * Introduces the visitor, whose identity was set or replaced: at once, so that what is sent
 * next is sent with it.
 * @param {Conversation} conversation
 */
export async function meet({ client, stream }) {
  await client.meet();
  stream.restart();
}

/**
 * Removes the visitor, here and at the relay.
 * @param {Conversation} conversation
 * @param {{erase?: boolean}} [how] erase: also deletes all conversations
 */
export async function logout(conversation, { erase = false } = {}) {
  const { client, outbox, storage, stream } = conversation;
  outbox.clear();
  storage.set("logout", `${Date.now()}`); // ends the identity that other tabs have
  try {
    await client.call("DELETE", `v1/visitor${erase ? "?erase=true" : ""}`);
  } finally {
    client.forget(true);
    storage.set("token", null); // even if the relay was not reached, and still accepts it
    client.identify(null);
    conversation.apply({ type: "forget", data: { keepPending: false } });
    stream.restart();
  }
}

/**
 * Waits for the end of a turn.
 * @param {{subscribe: (listener: (view: View) => void) => () => void}} messages
 * @param {string} turn
 * @returns {Promise<{reason: string, text: string}>}
 */
export async function finished(messages, turn) {
  let leave = () => {};
  try {
    return await new Promise((done, fail) => {
      const where = track(turn);
      leave = messages.subscribe((view) => {
        const { item, waits, gone } = where(view);
        if (item?.ended) done({ reason: item.ended, text: answerOf(view, turn) });
        else if (waits?.state === "stopped") done({ reason: "stopped", text: "" });
        else if (waits?.state === "failed") fail(new Problem(waits.code, waits.status ?? 0, waits.detail, waits.until ? Math.ceil((waits.until - Date.now()) / 1000) : null));
        else if (gone) fail(new Problem("aborted", 0, "The conversation is over, or the message was discarded.", null));
      });
    });
  } finally {
    leave();
  }
}

/**
 * The agent's text in a turn, as Markdown.
 * @param {View} view
 * @param {string} turn
 */
export function answerOf({ items }, turn) {
  const from = items.findIndex((i) => i.turn === turn) + 1;
  const rest = from ? items.slice(from) : [];
  const to = rest.findIndex((i) => i.kind === "user");
  return (to < 0 ? rest : rest.slice(0, to)).filter((i) => i.kind === "agent").map((i) => i.text).join("\n\n");
}

/** Stops all unfinished turns. @param {Conversation} conversation */
export async function stopAll(conversation) {
  await Promise.all(unfinished(conversation.view).map((turn) => conversation.stop(turn)));
}
