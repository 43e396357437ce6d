// @ts-check
// The composer: a real form, so that every keyboard and screen reader recognizes it.
import { h, icon } from "./h.js";
import { say } from "./strings.js";

/** @typedef {import("./files.js").Attached} Attached */

/** Maximum height of the field, in px. */
const maxHeight = 180;

/** Whether this is a touch screen, where focus in a field opens a keyboard. */
const touches = () => matchMedia("(hover: none) and (pointer: coarse)").matches;

export class Composer {
  /** @type {Attached[]} */
  files = [];
  /** Number of preparations of attachments that have not ended. */
  #preparing = 0;
  /** Whether the message is sent once they are prepared. */
  #waits = false;

  /**
   * @param {object} to
   * @param {(text: string, files: Attached[]) => void} to.onSend
   * @param {(text: string) => void} to.onDraft
   * @param {(files: Iterable<File>) => void} to.onFiles
   * @param {() => void} to.onWait
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
        const { clipboardData: data } = e;
        const files = data?.files;
        if (!files?.length) return;
        // Office programs add a picture of the text. A copied file has its name as text, and
        // a picture of a page has only HTML.
        if (data?.getData("text/plain").trim() && (this.attach.hidden || data.types.includes("text/html"))) return;
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

  /** Focuses the field, but another element where that would open a keyboard. @param {HTMLElement} other */
  focus(other) {
    (touches() ? other : this.field).focus({ preventScroll: true });
  }

  /** Goes on in another panel, with the acts and texts of a composer made for it. @param {Composer} made */
  follow(made) {
    Object.assign(this.to, made.to);
    for (const name of /** @type {const} */ (["field", "attach", "button"])) {
      this[name].ariaLabel = made[name].ariaLabel;
      this[name].title = made[name].title;
    }
    this.field.placeholder = made.field.placeholder;
    return this;
  }

  /** Returns a message to the field, before what the visitor is writing. @param {string} text */
  restore(text) {
    const draft = this.text;
    if (!`${draft}\n\n`.startsWith(`${text}\n\n`)) this.text = [text, draft].filter((t) => t.trim()).join("\n\n");
  }

  /**
   * Begins to prepare attachments. If the visitor sends the message meanwhile, it waits for
   * them. It stays in the composer if one is refused or the visitor changes the text.
   * @returns {(ok: boolean) => void} ends the preparation
   */
  prepare() {
    const { files } = this;
    this.#preparing++;
    this.fit();
    return (ok) => {
      if (files !== this.files) return; // a log-out has discarded them
      this.#preparing--;
      this.#wait(ok && this.#waits);
      this.fit();
      if (this.#waits && !this.#preparing) this.el.requestSubmit();
    };
  }

  clear() {
    this.files = [];
    this.#preparing = 0;
    this.chips.replaceChildren();
    this.text = "";
  }

  /** Adjusts the field's height to its content. */
  fit() {
    const { field } = this;
    field.style.height = "auto";
    if (field.scrollHeight) field.style.height = `${Math.min(field.scrollHeight, maxHeight)}px`;
    field.style.overflowY = field.scrollHeight > maxHeight ? "auto" : "hidden";
    this.el.classList.toggle("empty", !field.value.trim() && !this.files.length && !this.#preparing);
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
    this.#wait(false);
    this.fit();
    this.to.onDraft(this.field.value);
  }

  /** @param {boolean} waits */
  #wait(waits) {
    if (waits === this.#waits) return;
    this.#waits = waits;
    const { button } = this;
    button.title = button.ariaLabel = say(waits ? "sending" : "send");
    button.ariaDisabled = String(waits);
    if (waits) this.to.onWait();
  }

  /** @param {KeyboardEvent} e */
  #key(e) {
    // An Enter that ends a composition belongs to the input method.
    if (e.key !== "Enter" || e.shiftKey || e.isComposing || e.keyCode === 229) return;
    // On touch screens, Enter inserts a new line; the button sends.
    if (!e.ctrlKey && !e.metaKey && touches()) return;
    e.preventDefault();
    this.el.requestSubmit();
  }

  /** @param {Event} e */
  #submit(e) {
    e.preventDefault();
    const text = this.field.value.trim();
    this.#wait(this.#preparing > 0);
    if (!this.#waits && (text || this.files.length)) this.to.onSend(text, this.files);
    // The message may wait for the answer to a question about a file.
    (this.chips.querySelector("pre") ?? this.field).focus({ preventScroll: true });
  }
}
