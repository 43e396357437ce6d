// @ts-check
// The relay's HTTP interface: the visitor's identity, and refusals as problems.
import { inPage } from "./doc.js";
import { Native, locks, sleep, write } from "./native.js";

/** @typedef {import("./storage.js").Storage} Storage */

/**
 * What a visitor may send, as the relay says.
 * @typedef {object} Limits
 * @property {number} [max_message]
 * @property {number} [max_attachment]
 * @property {number} [max_attachments]
 * @property {string[]} [attachment_types]
 * @property {number} [max_context] bytes of JSON; 0 refuses any context
 */

/**
 * What a visitor agrees to before the first message.
 * @typedef {object} Consent
 * @property {string} version
 * @property {string} text
 * @property {string|null} given_at
 */

/**
 * What the relay says to a visitor who introduces itself.
 * @typedef {object} Introduction
 * @property {{status: string, epoch: number, agent_busy: boolean, last_event_id: string|null}} [session]
 * @property {Limits} [limits]
 * @property {{text: string|null, privacy_url: string|null}|null} [notice]
 * @property {Consent|null} [consent]
 * @property {boolean} [feedback] whether answers may be rated
 * @property {import("./challenge.js").Challenge} [challenge] to be solved for the first message, which can be done before
 * @property {string|null} [token]
 */

/**
 * Codes of refusals; a later relay may know more.
 * @typedef {"bad_request"|"origin_not_allowed"|"visitor_unknown"|"identity_invalid"|"feedback_off"|"consent_required"|"blocked"|"approvals_off"|
 *   "not_found"|"turn_unknown"|"prompt_unknown"|"turn_over"|"turn_stopped"|"prompt_settled"|"message_too_large"|"attachment_too_large"|"too_many_attachments"|
 *   "attachment_type"|"misdirected"|"challenge_required"|"rate_limited"|"session_quota"|"turn_budget"|"too_many_streams"|"upstream_refused"|
 *   "upstream_failed"|"upstream_unavailable"|"upstream_timeout"|"session_booting"|"at_capacity"|"paused"|"draining"|"internal"} RefusalCode
 */

/**
 * Why a call failed. Three kinds, which `status` and `code` tell apart:
 *
 * - a refusal: `status` is the answer's, `code` the relay's word for it
 * - `unreachable`, status 0: no answer came, so the relay may have done what was asked
 * - `aborted`, status 0: the caller aborted it
 */
export class Problem extends Error {
  /**
   * @param {RefusalCode|"unreachable"|"aborted"|(string & {})} code
   * @param {number} status 0 when there was no answer
   * @param {string} detail the relay's words, in English
   * @param {number|null} retryAfter seconds until it may go better, if the relay knows
   * @param {any} [challenge] what is to be solved first, with `challenge_required`
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

  /** Reads the problem out of an answer. @param {Response} res */
  static async from(res) {
    /** @type {any} */
    let body = {};
    try {
      body = (await res.json()) ?? {};
    } catch {
      // A refusal without a readable body still has its status.
    }
    const header = res.headers.get("retry-after");
    const after = header && /^\d+$/.test(header) ? Number(header) : typeof body.retry_after === "number" ? body.retry_after : null;
    return new Problem(String(body.code ?? `http_${res.status}`), res.status, String(body.detail ?? ""), after, body.challenge);
  }
}

/**
 * @typedef {object} Options
 * @property {unknown} [body]
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 * @property {boolean} [stream] whether the answer goes on for as long as it likes
 * @property {(url: URL, init: any) => Promise<Response>} [fetch] instead of the browser's; it knows itself how long to wait
 */

/** Longest wait for an answer, in ms; sending may wait for a sandbox to boot. */
const patience = 40_000;
/** How long what a tab keeps may take to reach the other tabs, which are other processes, in ms. */
const travel = 500;


export class Client {
  /** @type {Promise<any>|null} */
  #meeting = null;
  /** @type {string|null} the token that the relay knew us by */
  #token = null;
  /** @type {string|null} the token that the relay does not know any more */
  #refused = null;
  /** Whether the relay ever answered us here as the present visitor. */
  #known = false;
  /** @type {string|(() => string|Promise<string>)|null} */
  #identity = null;

  /**
   * @param {string} base where the relay is, with a slash at its end
   * @param {Storage} storage
   * @param {typeof fetch} [how]
   */
  constructor(base, storage, how = fetch) {
    this.base = base;
    this.fetch = how;
    this.storage = storage;
    this.sameOrigin = new URL(base).origin === globalThis.location?.origin;
    /** @type {"bearer"|undefined} only a page may leave its token to a cookie */
    this.carrier = inPage ? undefined : "bearer";
    /** @type {Limits} */
    this.limits = {};
    /** @type {Introduction|null} the relay's last word on who we are */
    this.introduction = null;
    /** @type {(answer: Introduction, fresh: boolean) => void} called when the relay said who we are */
    this.onVisitor = () => {};
    /** @type {(problem: Problem) => Promise<Problem>} finds out more of why the relay can't be asked, and never fails */
    this.examine = async (problem) => problem;
  }

  /**
   * Introduces this browser to the relay; calls at the same time share one.
   * @param {string} [agreed] the version of the text that the visitor agrees to; with it, the relay is asked once more
   * @returns {Promise<any>} the relay's answer
   */
  meet(agreed) {
    if (agreed !== undefined) this.#meeting = null;
    return (this.#meeting ??= this.#introduce(agreed).catch((err) => {
      this.#meeting = null;
      throw err;
    }));
  }

  /** Two tabs that want a token at once must become one visitor: one goes first. @param {string} [agreed] @returns {Promise<any>} */
  #introduce(agreed) {
    const all = locks();
    if (!all) return this.#mint(agreed);
    const asked = Date.now();
    return new Native((/** @type {(answer: any) => void} */ done, /** @type {(err: any) => void} */ fail) => {
      const lead = async () => {
        const answer = await this.#mint(agreed, Date.now() - asked > 100);
        done(answer);
        if (answer.token) await sleep(travel); // who comes meanwhile is second
      };
      all.request(`${this.storage.space}visitor`, lead).catch(fail);
    });
  }

  /**
   * @param {string} [agreed]
   * @param {boolean} [second] whether another tab was just before us: its token may be on its way
   * @returns {Promise<any>}
   */
  async #mint(agreed, second) {
    const body = { carrier: this.carrier, consent: agreed, identity: (typeof this.#identity === "function" ? await this.#identity() : this.#identity) ?? undefined };
    const refused = () => (this.storage.get("token") ?? this.#refused) === this.#refused;
    if (second && refused()) await sleep(travel);
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

  /** Forgets what was learnt, so that the next call introduces us again. @param {boolean} [token] the token too */
  forget(token) {
    if (token && !this.#known) return; // the former visitor is unknown; the present one is being introduced
    this.#meeting = null;
    // It is not taken away here: another tab may have replaced it, which this one may see later.
    if (token) this.#refused = this.#token;
  }

  /** @param {string|(() => string|Promise<string>)|null} identity a JWT of the website's */
  identify(identity) {
    this.#identity = identity;
    this.#known = false;
    this.forget();
  }

  /**
   * Calls the relay, minting a new visitor once if it doesn't know us.
   * @param {string} method
   * @param {string} path
   * @param {Options} [options]
   * @returns {Promise<Response>} an answer that is ok
   */
  async call(method, path, options = {}) {
    for (let again = true; ; again = false) {
      const meeting = this.meet();
      await meeting;
      const res = await this.#send(method, path, options);
      if (res.ok) return res;
      const problem = await Problem.from(res);
      if (problem.status !== 401 || !again) throw problem;
      // Or another call was refused before and has introduced us again: the new token is good.
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
    // The answer to a stream comes at once; how long it may be silent then is the stream's affair.
    const limit = new AbortController();
    const timer = own ? 0 : setTimeout(() => limit.abort(), patience);
    const abort = () => limit.abort();
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
    try {
      const url = new URL(path, this.base);
      // A page's service worker may answer from its cache, but not a URL that is new to it.
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
