// @ts-check
// The composer: a real form, so that every keyboard and screen reader recognizes it.
import { h, icon } from "./h.js";
import { say } from "./strings.js";

/** @typedef {import("./files.js").Attached} Attached */

/** Maximum height of the field, in px. */
const maxHeight = 180;

export class Composer {
  /** @type {Attached[]} */
  files = [];

  /**
   * @param {object} to
   * @param {(text: string, files: Attached[]) => void} to.onSend
   * @param {(text: string) => void} to.onDraft
   * @param {(files: Iterable<File>) => void} to.onFiles
   * @param {() => void} to.onStop
   */
  constructor(to) {
    this.to = to;
    this.field = h("textarea", {
      part: "input",
      rows: 1,
      enterkeyhint: "enter", // where a virtual keyboard shows it, see #key
      autocomplete: "off",
      dir: "auto",
      "aria-label": say("composer"),
      "aria-describedby": "notice",
      placeholder: say("placeholder"),
      onkeydown: (/** @type {KeyboardEvent} */ e) => this.#key(e),
      oninput: () => this.#changed(),
      onpaste: (/** @type {ClipboardEvent} */ e) => {
        const files = e.clipboardData?.files;
        if (!files?.length) return;
        e.preventDefault();
        to.onFiles(files);
      },
    });
    const input = h("input", { type: "file", multiple: true, hidden: true, onchange: () => {
      to.onFiles([...(input.files ?? [])]);
      input.value = ""; // allows the same file to be chosen again
    } });
    this.attach = h("button", { type: "button", class: "icon", part: "attach", hidden: true, "aria-label": say("attach"), title: say("attach"), onclick: () => input.click() }, icon("attach"));
    this.chips = h("div", { class: "files chips" });
    this.button = h("button", { type: "submit", class: "send", part: "send", "aria-label": say("send"), title: say("send") }, icon("send"));
    this.stop = h("button", { type: "button", class: "icon", part: "stop", hidden: true, onclick: () => to.onStop() }, icon("stop"));
    this.el = h("form", { class: "composer", part: "composer", onsubmit: (/** @type {Event} */ e) => this.#submit(e) }, this.chips, this.attach, input, this.field, this.stop, this.button);
    // A click beside the field focuses the field.
    this.el.addEventListener("mousedown", (e) => {
      if (e.target !== this.el) return;
      e.preventDefault();
      this.field.focus();
    });
    this.fit();
  }

  get text() {
    return this.field.value;
  }

  set text(value) {
    this.field.value = value;
    this.#changed();
  }

  clear() {
    this.files = [];
    this.chips.replaceChildren();
    this.text = "";
  }

  /** Adjusts the field's height to its content. */
  fit() {
    const { field } = this;
    field.style.height = "auto";
    if (field.scrollHeight) field.style.height = `${Math.min(field.scrollHeight, maxHeight)}px`;
    field.style.overflowY = field.scrollHeight > maxHeight ? "auto" : "hidden";
    this.el.classList.toggle("empty", !field.value.trim() && !this.files.length);
  }

  /**
   * Shows whether a turn can be stopped, or is already being stopped.
   * @param {boolean} runs @param {boolean} stopping
   */
  running(runs, stopping) {
    const label = say(stopping ? "stopping" : "stop");
    if (this.stop.title !== label) {
      this.stop.title = this.stop.ariaLabel = label;
      this.stop.ariaDisabled = String(stopping);
    }
    this.stop.hidden = !runs;
    this.el.classList.toggle("runs", runs);
  }

  #changed() {
    this.fit();
    this.to.onDraft(this.field.value);
  }

  /** @param {KeyboardEvent} e */
  #key(e) {
    // An Enter that ends a composition belongs to the input method.
    if (e.key !== "Enter" || e.shiftKey || e.isComposing || e.keyCode === 229) return;
    // On touch screens, Enter inserts a new line; the button sends.
    if (!e.ctrlKey && !e.metaKey && matchMedia("(hover: none) and (pointer: coarse)").matches) return;
    e.preventDefault();
    this.el.requestSubmit();
  }

  /** @param {Event} e */
  #submit(e) {
    e.preventDefault();
    const text = this.field.value.trim();
    if (text || this.files.length) this.to.onSend(text, this.files);
    this.field.focus({ preventScroll: true });
  }
}
