// @ts-check
// The optional comment of a rating. The panel loads this with the first rating.
import { rateWords } from "./words.js";

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
.comment{display:flex;flex-wrap:wrap;gap:8px;margin-top:12px}
.comment textarea{all:unset;box-sizing:border-box;flex:1 0 100%;min-height:3.6em;font:inherit;font-size:max(16px,1em);border:1px solid var(--line);border-radius:11px;padding:8px 12px;background:var(--bg);white-space:pre-wrap;overflow-wrap:anywhere}
.comment textarea:focus-visible{outline:2px solid var(--link)}
`);

/** Maximum length of a comment, in characters. */
const most = 2000;

/**
 * Offers a comment for a rating, and removes the offer when the rating is withdrawn.
 * @param {HTMLElement} place the element to insert it after
 * @param {Pick<import("./files.js").Kit, "h"|"say"|"teach"> & {announce: (text: string) => void}} kit
 * @param {"up"|"down"|null} rating
 * @param {(text: string) => Promise<boolean>} send
 */
export function comment(place, { h, say, teach, announce }, rating, send) {
  teach(rateWords);
  const root = place.getRootNode();
  if (root instanceof ShadowRoot && !root.adoptedStyleSheets.includes(sheet)) root.adoptedStyleSheets.push(sheet);
  if (place.nextElementSibling?.matches(".comment")) place.nextElementSibling.remove();
  if (!rating) return;
  const field = h("textarea", { "aria-label": say("comment"), placeholder: say("comment"), maxlength: most, dir: "auto" });
  const form = h("form", { class: "comment", onsubmit: async (/** @type {Event} */ e) => {
    e.preventDefault();
    const text = field.value.trim();
    if (!text || !(await send(text))) return;
    form.remove();
    announce(say("thanks"));
    /** @type {HTMLElement|null} */ (place.querySelector("[aria-pressed=true]"))?.focus();
  } }, field, h("button", { class: "small" }, say("rateSend")));
  place.after(form);
  announce(say("thanks"));
}
