// @ts-check
// Built-ins that libraries of the page replace or extend, in their original form.
import { inPage } from "./doc.js";

/** The engine's own Promise, which no page can replace. @type {PromiseConstructor} */
export const Native = /** @type {any} */ ((async () => {})().constructor);

/** Web Locks; none without a page, or in a frame without storage, where they would be refused. */
export function locks() {
  try {
    return inPage && localStorage ? navigator.locks : null;
  } catch {
    return null;
  }
}

/** @param {number} [ms] @returns {Promise<void>} */
export const sleep = (ms) => new Native((done) => setTimeout(done, ms));

/** Creates a unique key: at least 122 random bits. Only secure pages and programs have `randomUUID`. */
export function newKey() {
  return crypto.randomUUID?.() ?? crypto.getRandomValues(new Uint32Array(4)).join("-");
}

const { stringify } = JSON;
export const { parse } = JSON;

/**
 * Encodes JSON without `toJSON` of prototypes, which some libraries add to arrays to
 * encode them as strings.
 * @param {unknown} value
 * @returns {string}
 */
export function write(value) {
  if (Array.isArray(value)) return `[${value.map((v) => write(v))}]`;
  if (!value || typeof value !== "object") return stringify(value) ?? "null";
  return `{${Object.entries(value).filter((e) => e[1] !== undefined).map(([k, v]) => `${stringify(k)}:${write(v)}`)}}`;
}
