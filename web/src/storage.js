// @ts-check
// What the browser keeps: the visitor token, unsent turns, the draft. Storage
// may be full, forbidden or missing; then it is kept in memory instead.

export class Storage {
  /** @type {Map<string, string>} */
  #memory = new Map();

  /** @param {string} space keeps several relays on one site apart */
  constructor(space) {
    this.space = `relay-chat:${space}:`;
  }

  /** @param {string} key @returns {string|null} */
  get(key) {
    if (this.#memory.has(key)) return this.#memory.get(key) ?? null;
    try {
      return localStorage.getItem(this.space + key);
    } catch {
      return null;
    }
  }

  /** @param {string} key @param {string|null} value null removes */
  set(key, value) {
    try {
      if (value === null) localStorage.removeItem(this.space + key);
      else localStorage.setItem(this.space + key, value);
      this.#memory.delete(key);
    } catch {
      if (value === null) this.#memory.delete(key);
      else this.#memory.set(key, value);
    }
  }
}
