// @ts-check
// Requests that are retried until the relay has them: turns, and stops. Loaded with the
// first turn.
import { Problem } from "./client.js";
import { fit } from "./context.js";

/** @typedef {import("./outbox.js").Outbox} Outbox */

/** Attempts to reach the relay before the visitor is asked. */
const maxAttempts = 5;
/** Total time in ms for which refusals with a wait are retried automatically. */
const maxPatience = 10 * 60_000;
/** A wait longer than this, in s, is left to the visitor. */
const longWait = 15 * 60;
/** A solution may expire before it arrives; a turn computes at most this many. */
const maxSolutions = 3;
/** The longest wait, in ms, of a stop that has reached the relay before its turn. */
const maxOvertake = 2000;

/** Uploads in progress, by turn, which a stop aborts. @type {Map<string, AbortController>} */
const uploads = new Map();

/**
 * Sends one turn until it is accepted, stopped or given up.
 * @param {Outbox} box
 * @param {string} turn
 */
export async function deliver(box, turn) {
  const began = Date.now();
  let solution = await ahead(box);
  for (let attempt = 1, solved = 0; ; attempt++) {
    box.set(turn, { state: "sending", until: 0, sent: undefined });
    try {
      const { headers, ...letter } = await write(box, turn);
      const now = box.get(turn);
      if (!now) return; // discarded while its files were read, or its challenge was solved
      if (now.stopping) return box.stopped(turn);
      const upload = new AbortController();
      if (letter.fetch) uploads.set(turn, upload);
      await box.client.call("POST", "v1/messages", {
        ...letter, signal: upload.signal, headers: { ...headers, ...(solution && { "relay-challenge": solution }) },
      });
      box.set(turn, { state: "sent", code: "", detail: "" });
      box.drop(turn);
      return;
    } catch (err) {
      const problem = err instanceof Problem ? err : new Problem("unreachable", 0, String(err), null);
      if (problem.code === "challenge_required" && problem.challenge && !box.get(turn)?.stopping && solved++ < maxSolutions) {
        solution = await solve(box, problem.challenge);
        if (solution) continue;
      }
      if (problem.code === "turn_stopped" || box.get(turn)?.stopping) return box.stopped(turn);
      // A relay that accepts less context than expected, or none, still gets the message.
      if (problem.code === "bad_request" && problem.detail.includes("context") && box.contexts.delete(turn)) {
        console.warn(`relay-chat: sent without its context: ${problem.detail}`);
        continue;
      }
      const wait = box.closed ? null : delay(problem, attempt, Date.now() - began);
      const why = { code: problem.code, detail: problem.detail, status: problem.status };
      const until = problem.retryAfter ? Date.now() + problem.retryAfter * 1000 : 0;
      if (wait === null) return box.set(turn, { ...why, state: "failed", stopping: false, until });
      box.set(turn, { ...why, state: "waiting", until: Date.now() + wait });
      await box.sleep(wait);
      if (box.closed || box.get(turn)?.state !== "waiting") return;
    } finally {
      uploads.delete(turn);
    }
  }
}

/** The solution computed before there was a turn. @param {Outbox} box @returns {Promise<string>} "" if there is no challenge */
async function ahead(box) {
  if (!box.client.introduction?.challenge) return "";
  try {
    return await (await box.parts.solver()).take(box);
  } catch {
    return "";
  }
}

/** @param {Outbox} box @param {any} challenge @returns {Promise<string>} "" if it cannot be solved here */
async function solve(box, challenge) {
  try {
    return await (await box.parts.solver()).solve(challenge, () => box.closed);
  } catch {
    return "";
  }
}

/** The request for a turn. @param {Outbox} box @param {string} turn */
async function write(box, turn) {
  const { text = "", attachments = [] } = box.get(turn) ?? {};
  const headers = { "idempotency-key": turn };
  const body = { text, context: fit(box.contexts.get(turn), box.client.limits.max_context) };
  if (!attachments.length) return { headers, body };
  await box.kept;
  const part = await box.parts.files();
  const files = await part.recall(turn);
  if (!files) throw new Problem("files_lost", 400, "", null);
  const { post } = part;
  /** @param {number} sent */
  const progress = (sent) => box.set(turn, { sent });
  return {
    headers,
    body: { ...body, attachments: await part.encode(files) },
    fetch: post && ((/** @type {URL} */ url, /** @type {any} */ init) => post(url, init, progress)),
  };
}

/**
 * Requests the stop of a turn, until the relay has the request or the turn is over.
 * @param {import("./conversation.js").Conversation} conversation
 * @param {string} turn
 */
export async function stop(conversation, turn) {
  const { client, outbox } = conversation;
  const began = Date.now();
  if ((outbox.get(turn)?.sent ?? 0) < 1) uploads.get(turn)?.abort(); // the relay does not have all of it
  for (let attempt = 1; !conversation.closed; attempt++) {
    try {
      await client.call("POST", `v1/turns/${encodeURIComponent(turn)}/stop`);
      return;
    } catch (err) {
      if (!(err instanceof Problem)) throw err;
      const { code } = err;
      const ahead = code === "turn_unknown" && outbox.get(turn)?.state === "sending";
      if (/^turn_/.test(code) && !ahead) return conversation.stopping(turn, false);
      const wait = ahead ? Math.min(200 * attempt, maxOvertake) : delay(err, Math.min(attempt, 4), Date.now() - began);
      if (wait === null) {
        conversation.stopping(turn, false);
        throw err;
      }
      await new Promise((done) => setTimeout(done, wait));
      if (conversation.view.items.some((i) => i.turn === turn && i.ended)) return;
    }
  }
}

/**
 * Returns how long to wait before the next retry, or null if a retry is useless.
 * @param {Problem} problem
 * @param {number} attempt
 * @param {number} spent ms since the first attempt
 */
export function delay(problem, attempt, spent) {
  const backoff = Math.min(20_000, 1000 * 2 ** (attempt - 1)) * (0.75 + Math.random() / 2);
  if (problem.status === 0) return attempt < maxAttempts ? backoff : null;
  const passes = [408, 429, 500, 502, 503, 504].includes(problem.status);
  if (!passes || problem.code === "upstream_refused" || spent > maxPatience || (problem.retryAfter ?? 0) > longWait) return null;
  if (problem.retryAfter !== null) return problem.retryAfter * 1000 + Math.random() * 400;
  return problem.status === 503 || problem.status === 429 || attempt < maxAttempts ? backoff : null;
}
