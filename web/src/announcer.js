// @ts-check
// Announcements for screen readers. The transcript itself is never a live region:
// streaming text would be read in fragments.
import { h } from "./h.js";

/** Maximum length of an announcement, in characters; the rest can be read in the log. */
const maxSpoken = 3000;

export class Announcer {
  #turn = 0;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  /** @type {string[]} */
  #queue = [];

  constructor() {
    // Two polite regions alternate, so that a repeated text is announced again.
    this.polite = [h("div", { role: "status", class: "sr" }), h("div", { role: "status", class: "sr" })];
    this.alert = h("div", { role: "alert", class: "sr" });
    this.nodes = [...this.polite, this.alert];
  }

  /** Announces text after the reader's current output. @param {string} text */
  say(text) {
    if (!text) return;
    this.#queue.push(text.length > maxSpoken ? `${text.slice(0, maxSpoken)}…` : text);
    // The regions must be in the page before their text. Texts that arrive together are
    // announced together.
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const region = this.polite[this.#turn ^= 1];
      this.polite[this.#turn ^ 1].textContent = "";
      region.textContent = this.#queue.splice(0).join("\n");
    }, 250);
  }

  /** Announces text immediately. @param {string} text */
  warn(text) {
    this.alert.textContent = "";
    setTimeout(() => {
      this.alert.textContent = text;
    }, 50);
  }

  close() {
    clearTimeout(this.#timer);
  }
}
