// @ts-check
// Where the visitor writes: a real form, so that every keyboard and reader
// knows what it is.
import { h, icon } from "./h.js";
import { say } from "./strings.js";

/** Tallest the field grows to, in px. */
const maxHeight = 180;

export class Composer {
  /**
   * @param {object} to
   * @param {(text: string) => void} to.onSend
   * @param {(text: string) => void} to.onDraft
   */
  constructor(to) {
    this.to = to;
    this.field = h("textarea", {
      part: "input",
      rows: 1,
      enterkeyhint: "send",
      autocomplete: "off",
      dir: "auto",
      "aria-label": say("composer"),
      placeholder: say("placeholder"),
      onkeydown: (/** @type {KeyboardEvent} */ e) => this.#key(e),
      oninput: () => this.#changed(),
    });
    this.button = h("button", { type: "submit", class: "send", part: "send", "aria-label": say("send"), title: say("send") }, icon("send"));
    this.el = h("form", { class: "composer", part: "composer", onsubmit: (/** @type {Event} */ e) => this.#submit(e) }, this.field, this.button);
    // A click beside the field means the field.
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

  /** Gives the field the height of what is in it. */
  fit() {
    const { field } = this;
    field.style.height = "auto";
    if (field.scrollHeight) field.style.height = `${Math.min(field.scrollHeight, maxHeight)}px`;
    field.style.overflowY = field.scrollHeight > maxHeight ? "auto" : "hidden";
    this.el.classList.toggle("empty", !field.value.trim());
  }

  #changed() {
    this.fit();
    this.to.onDraft(this.field.value);
  }

  /** @param {KeyboardEvent} e */
  #key(e) {
    // An Enter that ends a composition belongs to the input method.
    if (e.key !== "Enter" || e.shiftKey || e.isComposing || e.keyCode === 229) return;
    // On glass, Enter is how a new line is made; the button sends.
    if (!e.ctrlKey && !e.metaKey && matchMedia("(hover: none) and (pointer: coarse)").matches) return;
    e.preventDefault();
    this.el.requestSubmit();
  }

  /** @param {Event} e */
  #submit(e) {
    e.preventDefault();
    const text = this.field.value.trim();
    if (text) this.to.onSend(text);
    this.field.focus({ preventScroll: true });
  }
}
