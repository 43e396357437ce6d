// @ts-check
// What stands around the transcript: header, banner, complaints, the question
// before a new conversation, and the dock with the composer.
import { h, icon } from "./h.js";
import { say } from "./strings.js";

export class Frame {
  /**
   * @param {string} mode popup, inline or page
   * @param {object} parts
   * @param {HTMLElement} parts.log
   * @param {HTMLElement} parts.composer
   * @param {HTMLElement[]} parts.regions what the screen reader is told
   * @param {object} acts
   * @param {() => void} acts.close
   * @param {() => void} acts.ask whether to start a new conversation
   * @param {() => void} acts.retryNow
   * @param {() => void} acts.jump
   */
  constructor(mode, parts, acts) {
    const popup = mode === "popup";
    this.title = h("h2", { id: "title" });
    this.dot = h("span", { class: "dot", "aria-hidden": "true" });
    this.fresh = iconButton("fresh", "new", say("fresh"), acts.ask);
    const shut = popup ? iconButton("close", "close", say("close"), acts.close) : null;
    const head = h("div", { class: "head", part: "header" }, this.dot, this.title, this.fresh, shut);

    this.bannerText = h("span");
    this.retry = h("button", { class: "link", onclick: acts.retryNow }, say("retryNow"));
    this.banner = h("div", { class: "banner", part: "banner", hidden: true }, this.bannerText, this.retry);

    this.errorText = h("span");
    const ok = h("button", { class: "link", onclick: () => this.complain("") }, say("ok"));
    this.error = h("div", { class: "error", part: "error", hidden: true }, this.errorText, ok);

    this.confirm = h("div", { class: "confirm", role: "group", "aria-labelledby": "ask", hidden: true });

    this.jump = h("button", { class: "jump", part: "jump", hidden: true, onclick: acts.jump }, icon("down"), say("jump"));
    const dock = h("div", { class: "dock" }, this.jump, parts.composer);

    // An empty title keeps the element's own from popping up over everything.
    const attrs = { class: `shell ${mode}`, part: "panel", role: popup ? "dialog" : "region", "aria-labelledby": "title", title: "", hidden: popup };
    this.root = h("div", attrs, head, this.banner, parts.log, this.error, this.confirm, dock, ...parts.regions);
  }

  unask() {
    this.confirm.hidden = true;
    this.fresh.focus();
  }

  /** @param {string} text "" takes the last complaint away */
  complain(text) {
    this.error.hidden = !text;
    this.errorText.textContent = text;
  }
}

/** @param {keyof typeof import("./h.js").shapes} shape @param {string} part @param {string} label @param {() => void} act */
function iconButton(shape, part, label, act) {
  return h("button", { class: "icon", part, "aria-label": label, title: label, onclick: act }, icon(shape));
}
