// @ts-check
// What a screen reader is told. The transcript itself is never a live region:
// words that stream in would be read in shreds.
import { h } from "./h.js";

/** Longest text announced, in characters; the rest can be read in the log. */
const maxSpoken = 3000;

export class Announcer {
  #turn = 0;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  /** @type {string[]} */
  #queue = [];

  constructor() {
    // Two polite regions take turns, so that the same words twice are news.
    this.polite = [h("div", { role: "status", class: "sr" }), h("div", { role: "status", class: "sr" })];
    this.alert = h("div", { role: "alert", class: "sr" });
    this.nodes = [...this.polite, this.alert];
  }

  /** Says it when the reader has finished. @param {string} text */
  say(text) {
    if (!text) return;
    this.#queue.push(text.length > maxSpoken ? `${text.slice(0, maxSpoken)}…` : text);
    // The regions must be in the page before their words, and words that come
    // together are said together.
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const region = this.polite[this.#turn ^= 1];
      this.polite[this.#turn ^ 1].textContent = "";
      region.textContent = this.#queue.splice(0).join("\n");
    }, 250);
  }

  /** Says it at once. @param {string} text */
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
