// @ts-check
// Whether the chat is open and visible, and the consequences for the page and the stream.
import { doc, isHidden } from "../../clients/js/src/doc.js";

const absence = 60_000; // ms after which a hidden tab's stream is closed

/** The panel, open or closed. */
export class Presence {
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #absence;
  /** Whether the tab has been hidden for that long. */
  #away = false;
  #booted = false;

  /**
   * @param {HTMLElement} root of the panel
   * @param {boolean} popup whether it can be closed
   * @param {import("./mount.js").Shell} shell
   * @param {import("../../clients/js/src/conversation.js").Conversation} conversation
   * @param {import("./unread.js").Unread} unread
   * @param {AbortSignal} signal stops it
   */
  constructor(root, popup, shell, conversation, unread, signal) {
    this.root = root;
    this.popup = popup;
    this.shell = shell;
    this.conversation = conversation;
    this.unread = unread;
    this.open = shell.launcher?.ariaExpanded === "true"; // as the former panel was
    doc.addEventListener("visibilitychange", () => this.#seen(), { signal });
    addEventListener("resize", () => this.#modal(), { signal });
    signal.addEventListener("abort", () => clearTimeout(this.#absence));
    this.#time();
  }

  /** Whether the visitor can see the chat. */
  get watched() {
    return this.open && !isHidden();
  }

  /** Opens the panel; returns whether the page allows it. */
  show() {
    const { popup, shell, conversation } = this;
    if (popup && !this.open && !shell.emit("open", {}, true)) {
      shell.reflect("open", null); // the attribute may have been set to open it
      return false;
    }
    this.open = true;
    if (popup) this.#reflect();
    conversation.start();
    if (shell.config.boot === "open" && !this.#booted) conversation.client.call("POST", "v1/session").catch(() => {}); // the first turn will report the problem
    this.#booted = true;
    this.unread.clear();
    return true;
  }

  /** @param {boolean} byHand whether the focus returns to the launcher */
  hide(byHand) {
    if (!this.popup) return;
    if (!this.open || !this.shell.emit("close", {}, true)) return this.shell.reflect("open", this.open ? "" : null);
    const inside = this.root.contains(this.shell.root.activeElement);
    this.open = false;
    this.#reflect();
    if (byHand || inside) this.shell.launcher?.focus({ preventScroll: true });
    this.rest();
  }

  /** Closes the stream if the chat is not visible and no turn is running: browsers limit connections. */
  rest() {
    if ((this.#away || (this.popup && !this.open)) && this.#idle) this.conversation.stream.stop();
  }

  get #idle() {
    const { view } = this.conversation;
    return !view.busy && !view.pending.length;
  }

  /** Reflects whether the panel is open, and remembers it for the next page. */
  #reflect() {
    const { open, shell } = this;
    this.root.hidden = !open;
    shell.reflect("open", open ? "" : null);
    shell.launcher?.setAttribute("aria-expanded", String(open));
    this.#modal();
    try {
      const key = `${this.conversation.storage.space}open`;
      if (open) sessionStorage.setItem(key, "1");
      else sessionStorage.removeItem(key);
    } catch {
      // Then the chat is closed on the next page.
    }
  }

  /** On a phone the panel covers the page and is marked as modal. */
  #modal() {
    const covers = this.popup && this.open && matchMedia("(max-width:640px),(max-height:480px)").matches;
    if (covers) this.root.setAttribute("aria-modal", "true");
    else this.root.removeAttribute("aria-modal");
    if (this.shell.launcher) this.shell.launcher.inert = covers;
  }

  #seen() {
    this.unread.mark();
    this.#time();
    if (!isHidden() && this.open) {
      this.unread.clear();
      this.conversation.stream.start();
    }
  }

  /** Begins to measure how long the tab is hidden, if it is. */
  #time() {
    clearTimeout(this.#absence);
    this.#away = false;
    if (!isHidden()) return;
    this.#absence = setTimeout(() => {
      this.#away = true;
      this.rest();
    }, absence);
  }
}
