// @ts-check
// Finds out why the relay cannot be reached. Browsers tell scripts only that a request
// failed.
import { doc } from "../../clients/js/src/doc.js";
import { troubleWords } from "./words.js";

/** Timeout of each probe, in ms. */
const patience = 10_000;

/**
 * Returns a replacement for the browser's text about a problem; nothing if no more can be
 * found out.
 * @param {{code: string, status: number}} problem
 * @param {string} base
 * @param {typeof fetch} own
 * @param {Pick<import("./files.js").Kit, "say"|"teach">} kit
 */
export async function examine({ code, status }, base, own, { say, teach }) {
  const { origin } = self; // "null" in a sandboxed frame, whatever its URL
  if (status && code !== "origin_not_allowed" && code !== "http_403") return {}; // the relay's own text is better
  if (status === 0) {
    const found = new URL(base).origin === origin ? null : await diagnose(base, own);
    if (!found) return {};
    code = found;
  }
  teach(troubleWords);
  const word = code === "headers_not_allowed" ? "wrongHeaders" : code !== "origin_not_allowed" ? "refused" : origin === "null" ? "fromFile" : "wrongOrigin";
  return { code, status: 403, message: code, detail: say(word, { origin, relay: new URL(base).host }) };
}

/**
 * Distinguishes a relay that cannot be reached (null) from one that refuses this website,
 * and from a website that adds headers the relay does not allow. A new frame has a fetch
 * that no monitoring agent has wrapped.
 * @param {string} base
 * @param {typeof fetch} own the fetch that failed
 * @returns {Promise<"origin_not_allowed"|"headers_not_allowed"|null>}
 */
async function diagnose(base, own) {
  const frame = doc.createElement("iframe");
  frame.style.setProperty("display", "none", "important");
  doc.documentElement.append(frame);
  /** @param {typeof fetch} fetch @param {string} path @param {HeadersInit} [headers] */
  const answers = async (fetch, path, headers) => {
    try {
      await fetch(base + path, { cache: "no-store", credentials: "omit", headers, signal: AbortSignal.timeout(patience) });
      return true;
    } catch {
      return false;
    }
  };
  try {
    const { fetch } = /** @type {typeof globalThis} */ (/** @type {unknown} */ (frame.contentWindow));
    const preflighted = { "last-event-id": "1-1" };
    if (!(await answers(fetch, "widget.js"))) return null;
    if (await answers(own, "v1/session", preflighted)) return null; // it works again
    return (await answers(fetch, "v1/session", preflighted)) ? "headers_not_allowed" : "origin_not_allowed";
  } finally {
    frame.replaceWith();
  }
}
