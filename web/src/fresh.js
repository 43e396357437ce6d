// @ts-check
// The confirmation before a conversation is ended permanently. The panel loads this when
// a visitor requests a new one.
import { freshWords } from "./words.js";

/** @typedef {import("./strings.js").Word} Word */

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
.sure{background:var(--soft);color:var(--text);border-top:1px solid var(--line);padding:12px 18px}
.sure p{margin:0 0 10px}
`);

/**
 * Asks for confirmation; the answer that changes nothing has the focus.
 * @param {import("./frame.js").Frame} frame
 * @param {Pick<import("./files.js").Kit, "h"|"say"|"teach">} kit
 * @param {() => void} yes
 * @param {HTMLElement} from the element that gets the focus back
 * @param {{ask: Word, yes: Word}} [words] of another question
 */
export function ask(frame, { h, say, teach }, yes, from, words = { ask: "freshAsk", yes: "freshYes" }) {
  teach(freshWords);
  const root = frame.root.getRootNode();
  if (root instanceof ShadowRoot && !root.adoptedStyleSheets.includes(sheet)) root.adoptedStyleSheets.push(sheet);
  const keep = h("button", { class: "small", onclick: () => frame.layer?.() }, say("cancel"));
  const end = h("button", { class: "small strong", onclick: () => {
    close();
    yes();
  } }, say(words.yes));
  const close = frame.question("sure", () => from.focus(), h("p", { id: "ask" }, say(words.ask)), h("div", { class: "decide" }, end, keep));
  keep.focus();
}
