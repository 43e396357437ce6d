// @ts-check
// The relay's HTTP interface: who is asking, and refusals as problems.
import { locks, write } from "./native.js";
import { part } from "./part.js";
import { say, teach } from "./strings.js";

/** @typedef {import("./storage.js").Storage} Storage */

/**
 * What a visitor may send, as the relay says.
 * @typedef {object} Limits
 * @property {number} [max_message]
 * @property {number} [max_attachment]
 * @property {number} [max_attachments]
 * @property {string[]} [attachment_types]
 */

/** A refusal, or a relay that can't be reached: code `unreachable`. */
export class Problem extends Error {
  /**
   * @param {string} code
   * @param {number} status 0 when there was no answer
   * @param {string} detail
   * @param {number|null} retryAfter seconds
   */
  constructor(code, status, detail, retryAfter) {
    super(detail || code);
    this.code = code;
    this.status = status;
    this.detail = detail;
    this.retryAfter = retryAfter;
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
    return new Problem(String(body.code ?? `http_${res.status}`), res.status, String(body.detail ?? ""), after);
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

export class Client {
  /** @type {Promise<any>|null} */
  #meeting = null;
  /** @type {string|null} the token that the relay knew us by */
  #token = null;
  /** Whether the relay ever answered us here, as who we are now. */
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
    this.sameOrigin = new URL(base).origin === location.origin;
    /** @type {Limits} */
    this.limits = {};
    /** @type {(answer: any, fresh: boolean) => void} called when the relay said who we are */
    this.onVisitor = () => {};
  }

  /**
   * Introduces this browser to the relay; calls at the same time share one.
   * @returns {Promise<any>} the relay's answer
   */
  meet() {
    this.#meeting ??= this.#introduce().catch((err) => {
      this.#meeting = null;
      throw err;
    });
    return this.#meeting;
  }

  async #introduce() {
    // Two tabs that open at once must become one visitor, not two.
    const name = `${this.storage.space}visitor`;
    return locks()?.request(name, () => this.#mint()) ?? this.#mint();
  }

  /** @returns {Promise<any>} */
  async #mint() {
    /** @type {Record<string, string>} */
    const body = {};
    if (this.#identity) body.identity = typeof this.#identity === "function" ? await this.#identity() : this.#identity;
    const before = this.storage.get("token");
    const res = await this.#send("POST", "v1/visitor", { body }).catch(async (err) => {
      throw await this.examine(err);
    });
    if (!res.ok) {
      const problem = await Problem.from(res);
      if (problem.code !== "visitor_unknown" || !before) throw problem;
      this.storage.set("token", null);
      return this.#mint();
    }
    const answer = await res.json();
    if (typeof answer.token === "string") this.storage.set("token", answer.token);
    this.#token = this.storage.get("token");
    this.limits = answer.limits ?? {};
    this.#known = true;
    this.onVisitor(answer, typeof answer.token === "string" && answer.token !== before);
    return answer;
  }

  /**
   * Finds out why the relay can't be asked, and says why it refuses this page.
   * @param {Problem} problem
   */
  async examine(problem) {
    try {
      return Object.assign(problem, await (await part("trouble")).examine(problem, this.base, this.fetch, { say, teach }));
    } catch {
      return problem; // the relay is gone, or it would have sent that part
    }
  }

  /** Forgets what was learnt, so that the next call introduces us again. @param {boolean} [token] the token too */
  forget(token = false) {
    if (token && !this.#known) return; // the former visitor is unknown; who we are now is being asked
    this.#meeting = null;
    // Another tab may have a new one by now.
    if (token && this.storage.get("token") === this.#token) this.storage.set("token", null);
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
      await this.meet();
      const res = await this.#send(method, path, options);
      if (res.ok) return res;
      const problem = await Problem.from(res);
      if (problem.status !== 401 || !again) throw problem;
      this.forget(problem.code === "visitor_unknown");
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
      // A page's service worker may answer by a copy, but not to what nobody asked before.
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
      throw new Problem("unreachable", 0, err instanceof Error ? err.message : "", null);
    } finally {
      clearTimeout(timer);
      if (!stream) signal?.removeEventListener("abort", abort);
    }
  }
}
