// @ts-check
// Unread messages: a number on the launcher, in its name and in the page's title, and a
// sound.
import { doc, isHidden, prototype } from "../../clients/js/src/doc.js";
import { h } from "./h.js";
import { part } from "./part.js";
import { say } from "./strings.js";

/** What the chat has put before the page's title. Several chats on a page share it. */
let prefix = "";

/** Counts unread messages. */
export class Unread {
  #n = 0;
  #badge = h("span", { class: "badge", "aria-hidden": "true" });
  /** @type {import("./mount.js").Shell} set by `show` */
  #shell = /** @type {any} */ (null);

  /** @param {boolean} sound whether to play the sound */
  add(sound) {
    this.#n++;
    this.#changed();
    if (sound) void part("sound").then((m) => m.chime()).catch(() => {});
  }

  clear() {
    if (!this.#n) return;
    this.#n = 0;
    this.#changed();
  }

  #changed() {
    this.show(this.#shell);
    this.#shell.emit("unread", { count: this.#n });
  }

  /** Shows the number on the launcher and in its name. @param {import("./mount.js").Shell} shell the current one */
  show(shell) {
    this.#shell = shell;
    const { launcher } = shell;
    this.#badge.textContent = this.#n ? String(Math.min(this.#n, 99)) : "";
    launcher?.append(this.#badge);
    const s = shell.settings();
    const title = s.label || s.title || say("title");
    launcher?.setAttribute("aria-label", this.#n ? say("unread", { title, n: this.#n }) : title);
    this.mark();
  }

  /** Shows the number in the page's title, for visitors in another tab. */
  mark() {
    const { title } = doc;
    // The page may have changed its title, or count in it too, as may another relay's chat
    // in front. Browsers trim a title.
    const at = prefix ? `${title} `.indexOf(prefix) : -1;
    const rest = at >= 0 && /^(\(\d+\) )*$/.test(title.slice(0, at)) ? title.slice(0, at) + title.slice(at + prefix.length) : title;
    prefix = this.#n && isHidden() ? `(${this.#n}) ` : "";
    if (title !== prefix + rest) Reflect.set(prototype(), "title", prefix + rest, document);
  }

  /** Removes all of it; the launcher's name stays. */
  destroy() {
    this.#badge.replaceWith();
    this.#n = 0;
    this.mark();
  }
}
