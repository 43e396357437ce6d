// @ts-check
// The question before a conversation is ended for good. The panel loads this
// when a visitor asks for a new one.
import { freshWords } from "./words.js";

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
.confirm{background:var(--soft);color:var(--text);border-top:1px solid var(--line);padding:12px 18px}
.confirm p{margin:0 0 10px}
`);

/**
 * Asks; the answer that changes nothing has the focus.
 * @param {HTMLElement} place
 * @param {Pick<import("./files.js").Kit, "h"|"say"|"teach">} kit
 * @param {() => void} yes
 * @param {() => void} no
 */
export function ask(place, { h, say, teach }, yes, no) {
  teach(freshWords);
  const root = place.getRootNode();
  if (root instanceof ShadowRoot && !root.adoptedStyleSheets.includes(sheet)) root.adoptedStyleSheets.push(sheet);
  const keep = h("button", { class: "small", onclick: no }, say("cancel"));
  const end = h("button", { class: "small strong", onclick: () => {
    place.hidden = true;
    yes();
  } }, say("freshYes"));
  place.replaceChildren(h("p", { id: "ask" }, say("freshAsk")), h("div", { class: "decide" }, end, keep));
  place.hidden = false;
  keep.focus();
}
