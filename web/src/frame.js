// @ts-check
// The parts around the transcript: header, banner, errors, the confirmation before a new
// conversation, and the dock with the composer.
import { h, icon } from "./h.js";
import { say } from "./strings.js";

export class Frame {
  /**
   * @param {string} mode popup, inline or page
   * @param {object} parts
   * @param {HTMLElement} parts.log
   * @param {HTMLElement} parts.composer
   * @param {HTMLElement[]} parts.regions the live regions for screen readers
   * @param {object} acts
   * @param {() => void} acts.close
   * @param {() => void} acts.ask asks whether to start a new conversation
   * @param {() => void} acts.retryNow
   * @param {() => void} acts.jump
   * @param {() => void} acts.more opens the menu
   */
  constructor(mode, parts, acts) {
    const popup = mode === "popup";
    this.title = h("h2", { id: "title", tabindex: -1 });
    this.dot = h("span", { class: "dot", "aria-hidden": "true" });
    this.fresh = iconButton("fresh", "new", say("fresh"), acts.ask);
    this.more = iconButton("more", "menu", say("more"), acts.more);
    this.more.ariaHasPopup = "true";
    const shut = popup ? iconButton("close", "close", say("close"), acts.close) : null;
    const head = h("div", { class: "head", part: "header" }, this.dot, this.title, this.fresh, this.more, shut);

    this.bannerText = h("span");
    this.retry = h("button", { class: "link", onclick: acts.retryNow }, say("retryNow"));
    this.banner = h("div", { class: "banner", part: "banner", hidden: true }, this.bannerText, this.retry);

    this.told = h("div", { class: "told", part: "banner", dir: "auto", hidden: true });
    this.notice = h("p", { class: "notice", part: "notice", id: "notice", hidden: true });

    this.errorText = h("span");
    const ok = h("button", { class: "link", onclick: () => {
      this.complain("");
      parts.log.focus({ preventScroll: true });
    } }, say("ok"));
    this.error = h("div", { class: "error", part: "error", hidden: true }, this.errorText, ok);

    this.confirm = h("div", { class: "confirm", role: "group", "aria-labelledby": "ask", hidden: true });

    this.jump = h("button", { class: "jump", part: "jump", hidden: true, onclick: acts.jump, onblur: () => this.ahead(this.#ahead) }, icon("down"), say("jump"));
    const dock = h("div", { class: "dock" }, this.jump, parts.composer, this.notice);

    // An empty title prevents the element's own title from appearing as a tooltip
    // everywhere.
    const attrs = { class: `shell ${mode}`, part: "panel", role: popup ? "dialog" : "region", "aria-labelledby": "title", title: "", hidden: popup };
    this.root = h("div", attrs, head, this.banner, this.told, parts.log, this.error, this.confirm, dock, ...parts.regions);
  }

  #ahead = false;

  /**
   * Says whether the transcript goes on below. The button that leads there stays as long as
   * it has the focus: the Tab key, which scrolls, would otherwise lead from it to the start.
   * @param {boolean} ahead
   */
  ahead(ahead) {
    this.#ahead = ahead;
    this.jump.hidden = !ahead && !this.jump.matches(":focus");
  }

  /** Closes the layer over the conversation, if there is one. @type {(() => void)|null} */
  layer = null;

  /** Closes the list of earlier conversations, which are a visitor's own. @type {(() => void)|null} */
  leavePast = null;

  /** Registers a new layer over the conversation and closes the previous one. @param {() => void} close */
  cover(close) {
    this.layer?.();
    this.layer = close;
  }

  /**
   * Shows a question above the composer.
   * @param {string} style a class
   * @param {() => void} no called when the question is closed without an answer
   * @param {...Node} nodes
   * @returns {() => void} closes the question
   */
  question(style, no, ...nodes) {
    const close = () => {
      this.confirm.hidden = true;
      this.layer = null;
    };
    this.cover(() => {
      close();
      no();
    });
    this.confirm.className = `confirm ${style}`;
    this.confirm.replaceChildren(...nodes);
    this.confirm.hidden = false;
    return close;
  }

  /** Shows the operator's notice below the composer. @param {import("../../clients/js/src/client.js").Introduction["notice"]} notice */
  note(notice) {
    const { privacy_url: url = null } = notice ?? {};
    const words = notice ? (notice.text ?? say("notice")) : "";
    const privacy = url && h("a", { class: "link", href: url, target: "_blank", rel: "noopener" }, say("privacy"));
    this.notice.replaceChildren(words, words && url ? " " : "", privacy || "");
    this.notice.hidden = !words && !url;
  }

  /** @param {string} text "" removes the last error */
  complain(text) {
    this.error.hidden = !text;
    this.errorText.textContent = text;
  }
}

/** @param {keyof typeof import("./h.js").shapes} shape @param {string} part @param {string} label @param {() => void} act */
function iconButton(shape, part, label, act) {
  return h("button", { class: "icon", part, "aria-label": label, title: label, onclick: act }, icon(shape));
}
