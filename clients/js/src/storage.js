// @ts-check
// The client's stored data: the visitor's token, unsent turns, the draft. If storage is
// full, forbidden or missing, the data is kept in memory instead. The same applies until
// the visitor has consented.
import { inPage } from "./doc.js";

/**
 * The client's storage: `localStorage`, `sessionStorage` or a similar object.
 * @typedef {object} StorageArea
 * @property {(key: string) => string|null} getItem
 * @property {(key: string, value: string) => void} setItem
 * @property {(key: string) => void} removeItem
 */

export class Storage {
  /** @type {Map<string, string|null>} */
  #memory = new Map();
  #held = false;
  /** @type {StorageArea|null|undefined} */
  #own;

  /**
   * @param {string} space separates several relays on one site
   * @param {StorageArea|null} [area] null keeps everything in memory; the default is a page's localStorage
   */
  constructor(space, area) {
    this.space = `relay-chat:${space}:`;
    this.#own = area;
  }

  /** The storage area; a browser may throw instead. @returns {StorageArea|null} */
  get #area() {
    return this.#own === undefined ? (inPage ? localStorage : null) : this.#own;
  }

  /** Whether all tabs of this browser share the token: only then are they one visitor. */
  get shared() {
    return !this.#held && !this.#memory.get("token") && this.#own === undefined;
  }

  /**
   * Keeps everything in memory until `release`, and moves there what a new visitor has
   * stored. What a returning visitor has stored stays: this page may be left without an
   * answer.
   */
  hold() {
    this.#held = true;
    if (this.get("token")) return;
    for (const key of ["outbox", "draft", "times"]) {
      const value = this.get(key);
      this.set(key, null);
      this.#memory.set(key, value);
    }
  }

  /** Stores from now on, including the data held in memory. */
  release() {
    this.#held = false;
    const held = [...this.#memory];
    this.#memory.clear();
    for (const [key, value] of held) this.set(key, value);
  }

  /** @param {string} key @returns {string|null} */
  get(key) {
    return this.#memory.has(key) ? (this.#memory.get(key) ?? null) : this.#kept(key);
  }

  /** What another tab has stored while this one keeps data in memory. @param {string} key */
  elsewhere(key) {
    return this.#held ? this.#kept(key) : null;
  }

  /** @param {string} key */
  #kept(key) {
    try {
      return this.#area?.getItem(this.space + key) ?? null;
    } catch {
      return null;
    }
  }

  /** @param {string} key @param {string|null} value null removes */
  set(key, value) {
    const own = this.#memory.delete(key);
    try {
      // Removing needs no consent, but a stored token may be another tab's.
      if (!this.#held || (value === null && !(own && key === "token"))) {
        const area = /** @type {StorageArea} */ (this.#area);
        return value === null ? area.removeItem(this.space + key) : area.setItem(this.space + key, value);
      }
    } catch {
      // Then it is kept in memory.
    }
    if (this.#held || value !== null) this.#memory.set(key, value);
  }
}
