// @ts-check
// The relay's HTTP API: the visitor's identity, and error responses as problems.
import { inPage } from "./doc.js";
import { Native, locks, sleep, write } from "./native.js";

/** @typedef {import("./storage.js").Storage} Storage */

/**
 * The limits of what a visitor may send.
 * @typedef {object} Limits
 * @property {number} [max_message]
 * @property {number} [max_attachment]
 * @property {number} [max_attachments]
 * @property {string[]} [attachment_types]
 * @property {number} [max_context] bytes of JSON; 0 refuses any context
 */

/**
 * The consent required before the first message.
 * @typedef {object} Consent
 * @property {string} version
 * @property {string} text
 * @property {string|null} given_at
 */

/**
 * The relay's response when a visitor is introduced.
 * @typedef {object} Introduction
 * @property {{status: string, epoch: number, agent_busy: boolean, last_event_id: string|null}} [session]
 * @property {Limits} [limits]
 * @property {{text: string|null, privacy_url: string|null}|null} [notice]
 * @property {Consent|null} [consent]
 * @property {boolean} [feedback] whether answers may be rated
 * @property {import("./challenge.js").Challenge} [challenge] required for the first message; can be solved in advance
 * @property {string|null} [token]
 */

/**
 * Codes of problems; a later relay may have more.
 * @typedef {"bad_request"|"origin_not_allowed"|"visitor_unknown"|"identity_invalid"|"feedback_off"|"consent_required"|"blocked"|"approvals_off"|
 *   "not_found"|"turn_unknown"|"prompt_unknown"|"turn_over"|"turn_stopped"|"prompt_settled"|"message_too_large"|"attachment_too_large"|"too_many_attachments"|
 *   "attachment_type"|"misdirected"|"challenge_required"|"rate_limited"|"session_quota"|"turn_budget"|"too_many_streams"|"upstream_refused"|
 *   "upstream_failed"|"upstream_unavailable"|"upstream_timeout"|"session_booting"|"at_capacity"|"paused"|"draining"|"internal"} RefusalCode
 */

/**
 * Why a call failed. `status` and `code` distinguish three kinds:
 *
 * - a refusal: `status` is the response's, `code` the relay's
 * - `unreachable`, status 0: no response arrived, so the relay may have carried out the
 * request
 * - `aborted`, status 0: the caller aborted it
 */
export class Problem extends Error {
  /**
   * @param {RefusalCode|"unreachable"|"aborted"|(string & {})} code
   * @param {number} status 0 if there was no response
   * @param {string} detail the relay's description, in English
   * @param {number|null} retryAfter seconds until a retry may succeed, if the relay sends it
   * @param {any} [challenge] the challenge to solve first, with `challenge_required`
   */
  constructor(code, status, detail, retryAfter, challenge) {
    super(detail || code);
    this.name = "Problem";
    this.code = code;
    this.status = status;
    this.detail = detail;
    this.retryAfter = retryAfter;
    this.challenge = challenge;
  }

  /** Reads the problem from a response. @param {Response} res */
  static async from(res) {
    /** @type {any} */
    let body = {};
    try {
      body = (await res.json()) ?? {};
    } catch {
      // A refusal without a readable body still has its status.
    }
    const header = /** @type {string} */ (res.headers.get("retry-after"));
    const after = /^\d+$/.test(header) ? Number(header) : typeof body.retry_after === "number" ? body.retry_after : null;
    return new Problem(String(body.code ?? `http_${res.status}`), res.status, String(body.detail ?? ""), after, body.challenge);
  }
}

/**
 * @typedef {object} Options
 * @property {unknown} [body]
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 * @property {boolean} [stream] whether the response may last indefinitely
 * @property {(url: URL, init: any) => Promise<Response>} [fetch] instead of the browser's; it has its own timeouts
 */

/** Timeout for a response, in ms; sending may wait for a sandbox to boot. */
const patience = 40_000;
/** Time in ms for a tab's storage change to reach the other tabs, which are other processes. */
const travel = 500;


export class Client {
  /** @type {Promise<any>|null} */
  #meeting = null;
  /** @type {string|null} the last token that the relay accepted */
  #token = null;
  /** @type {string|null} the token that the relay no longer accepts */
  #refused = null;
  /** Whether the relay ever responded to this client as the present visitor. */
  #known = false;
  /** @type {string|(() => string|Promise<string>)|null} */
  #identity = null;
  /** @type {string|null} the last logout, in any tab, before the identity was set */
  #logout = null;

  /**
   * @param {string} base the relay's URL, with a slash at its end
   * @param {Storage} storage
   * @param {typeof fetch} [how]
   */
  constructor(base, storage, how = fetch) {
    this.base = base;
    this.fetch = how;
    this.storage = storage;
    this.sameOrigin = new URL(base).origin === globalThis.location?.origin;
    /** @type {"bearer"|undefined} only a page can use a cookie for its token */
    this.carrier = inPage ? undefined : "bearer";
    /** @type {Limits} */
    this.limits = {};
    /** @type {Introduction|null} the relay's last response about this visitor */
    this.introduction = null;
    /** @type {(answer: Introduction, fresh: boolean) => void} called when the relay has sent the visitor's identity */
    this.onVisitor = () => {};
    /** @type {(problem: Problem) => Promise<Problem>} finds out why the relay cannot be reached, and never fails */
    this.examine = async (problem) => problem;
  }

  /**
   * Introduces this browser to the relay; concurrent calls share one request.
   * @param {string} [agreed] the version of the text that the visitor agrees to; with it, the relay is called again
   * @returns {Promise<any>} the relay's response
   */
  meet(agreed) {
    if (agreed !== undefined) this.#meeting = null;
    return (this.#meeting ??= this.#introduce(agreed).catch((err) => {
      this.#meeting = null;
      throw err;
    }));
  }

  /** Two tabs that need a token at the same time must become one visitor: one goes first. @param {string} [agreed] @returns {Promise<any>} */
  #introduce(agreed) {
    const all = locks();
    if (!all) return this.#mint(agreed);
    const asked = Date.now();
    return new Native((/** @type {(answer: any) => void} */ done, /** @type {(err: any) => void} */ fail) => {
      const lead = async () => {
        const answer = await this.#mint(agreed, Date.now() - asked > 100);
        done(answer);
        if (answer.token) await sleep(travel); // a tab that arrives meanwhile is second
      };
      all.request(`${this.storage.space}visitor`, lead).catch(fail);
    });
  }

  /**
   * @param {string} [agreed]
   * @param {boolean} [second] whether another tab was just before this one: its token may not have arrived yet
   * @returns {Promise<any>}
   */
  async #mint(agreed, second) {
    const identity = this.storage.get("logout") === this.#logout ? this.#identity : null;
    const body = { carrier: this.carrier, consent: agreed, identity: (typeof identity === "function" ? await identity() : identity) ?? undefined };
    const refused = () => (this.storage.get("token") ?? this.#refused) === this.#refused;
    for (let n = 4; second && refused() && n--; ) await sleep(travel);
    if (refused()) this.storage.set("token", null);
    const before = this.storage.get("token");
    const res = await this.#send("POST", "v1/visitor", { body }).catch(async (err) => {
      throw await this.examine(err);
    });
    if (!res.ok) {
      const problem = await Problem.from(res);
      if (problem.code !== "visitor_unknown" || !before) throw problem;
      this.#refused = before;
      return this.#mint(agreed, second);
    }
    /** @type {Introduction} */
    const answer = await res.json();
    if (answer.consent && !answer.consent.given_at) this.storage.hold();
    else this.storage.release();
    if (answer.token) this.storage.set("token", answer.token);
    const was = this.#token ?? before;
    this.#token = this.storage.get("token");
    this.limits = answer.limits ?? {};
    this.introduction = answer;
    this.#known = true;
    this.onVisitor(answer, this.#token !== was);
    return answer;
  }

  /** Drops the introduction, so that the next call introduces the visitor again. @param {boolean} [token] the token too */
  forget(token) {
    if (token && !this.#known) return; // the former visitor is unknown; the present one is being introduced
    this.#meeting = null;
    // It is not removed here: another tab may have replaced it, which this one may see
    // later.
    if (token) this.#refused = this.#token;
  }

  /** @param {string|(() => string|Promise<string>)|null} identity a JWT of the website's */
  identify(identity) {
    this.#identity = identity;
    this.#logout = this.storage.get("logout");
    this.#known = false;
    this.forget();
  }

  /**
   * Calls the relay. If the relay does not know the visitor, it creates a new one, once.
   * @param {string} method
   * @param {string} path
   * @param {Options} [options]
   * @returns {Promise<Response>} a successful response
   */
  async call(method, path, options = {}) {
    for (let again = true; ; again = false) {
      const meeting = this.meet();
      await meeting;
      const res = await this.#send(method, path, options);
      if (res.ok) return res;
      const problem = await Problem.from(res);
      if (problem.status !== 401 || !again) throw problem;
      // Or another call was refused before and has introduced the visitor again: the new
      // token is valid.
      if (meeting === this.#meeting) this.forget(problem.code === "visitor_unknown");
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {Options} options
   */
  async #send(method, path, { body, headers = {}, signal, stream, fetch: own }) {
    const token = this.storage.get("token");
    // The headers of a stream arrive at once; the stream itself detects silence after
    // that.
    const limit = new AbortController();
    const abort = () => limit.abort();
    const timer = own ? 0 : setTimeout(abort, patience);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    try {
      const url = new URL(path, this.base);
      // A page's service worker may answer from its cache, but not for a URL that is new
      // to it.
      if (method === "GET") url.searchParams.set("now", String(Date.now()));
      return await (own ?? this.fetch)(url, {
        __proto__: null,
        method,
        headers: {
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...(token ? { authorization: `Bearer ${token}` } : {}),
          ...headers,
        },
        body: body === undefined ? undefined : write(body),
        credentials: this.sameOrigin ? "same-origin" : "omit",
        cache: "no-store",
        signal: limit.signal,
      });
    } catch (err) {
      throw new Problem(signal?.aborted ? "aborted" : "unreachable", 0, err instanceof Error ? err.message : "", null);
    } finally {
      clearTimeout(timer);
      if (!stream) signal?.removeEventListener("abort", abort);
    }
  }
}
