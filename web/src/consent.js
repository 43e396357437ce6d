// @ts-check
// Consent before the first message. The panel loads this when the relay requires it.
import { consentWords } from "./words.js";

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
.consent{background:var(--soft);color:var(--text);border-top:1px solid var(--line);padding:12px 18px;max-height:50%;overflow-y:auto}
.consent h3{all:unset;display:block;font-weight:600;margin-bottom:6px}
.consent .link{color:inherit;align-self:center}
.consent p{margin:0 0 10px;white-space:pre-line;border-radius:6px}
`);

/**
 * Asks for consent. The text has the focus, so that an accidental Enter does not consent.
 * @param {import("./frame.js").Frame} frame
 * @param {Pick<import("./files.js").Kit, "h"|"say"|"teach"> & {introduction: import("../../clients/js/src/client.js").Introduction}} kit
 * @param {() => Promise<boolean>} yes
 * @param {() => void} no
 */
export function ask(frame, { h, say, teach, introduction: { consent, notice } }, yes, no) {
  teach(consentWords);
  const root = frame.root.getRootNode();
  if (root instanceof ShadowRoot && !root.adoptedStyleSheets.includes(sheet)) root.adoptedStyleSheets.push(sheet);
  const words = h("p", { tabindex: -1, dir: "auto" }, consent?.text ?? "");
  const agree = h("button", { class: "small strong", onclick: async () => {
    if (agree.ariaDisabled === "true") return;
    agree.ariaDisabled = "true";
    if (await yes()) close();
    agree.ariaDisabled = "false";
  } }, say("agree"));
  const privacy = notice?.privacy_url ? h("a", { class: "link", href: notice.privacy_url, target: "_blank", rel: "noopener" }, say("privacy")) : null;
  const close = frame.question("consent", no, h("h3", { id: "ask" }, say("consent")), words, h("div", { class: "decide" }, agree, h("button", { class: "small", onclick: () => frame.layer?.() }, say("notNow")), privacy));
  words.focus();
}
