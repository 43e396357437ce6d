// @ts-check
// What a client keeps: the visitor's token, unsent turns, the draft. Where that
// may be full, forbidden or missing, it is kept in memory instead; and so is
// everything for as long as the visitor has not agreed to it.
import { inPage } from "./doc.js";

/**
 * Where a client keeps things: `localStorage`, `sessionStorage` or anything like them.
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
   * @param {string} space keeps several relays on one site apart
   * @param {StorageArea|null} [area] null keeps all in memory; unless told, a page's localStorage
   */
  constructor(space, area) {
    this.space = `relay-chat:${space}:`;
    this.#own = area;
  }

  /** Where things are kept; a browser may throw instead of having it. @returns {StorageArea|null} */
  get #area() {
    return this.#own === undefined ? (inPage ? localStorage : null) : this.#own;
  }

  /** Whether all tabs of this browser have the same: only then are they one visitor. */
  get shared() {
    return !this.#held && this.#own === undefined;
  }

  /** Keeps everything in memory until told otherwise, and takes away what was kept of what was said here. */
  hold() {
    if (this.#held) return;
    for (const key of ["token", "outbox", "draft", "times"]) {
      const value = this.get(key);
      this.set(key, null);
      if (value !== null) this.#memory.set(key, value);
    }
    this.#held = true;
  }

  /** Keeps from now on, and what was held. */
  release() {
    if (!this.#held) return;
    this.#held = false;
    const held = [...this.#memory];
    this.#memory.clear();
    for (const [key, value] of held) this.set(key, value);
  }

  /** @param {string} key @returns {string|null} */
  get(key) {
    return this.#memory.has(key) ? (this.#memory.get(key) ?? null) : this.#kept(key);
  }

  /** What another tab keeps while this one holds. @param {string} key */
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
    this.#memory.delete(key);
    try {
      if (!this.#held) {
        const area = /** @type {StorageArea} */ (this.#area);
        return value === null ? area.removeItem(this.space + key) : area.setItem(this.space + key, value);
      }
    } catch {
      // Then it is kept in memory.
    }
    if (this.#held || value !== null) this.#memory.set(key, value);
  }
}
