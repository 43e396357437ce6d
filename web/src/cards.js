// @ts-check
// Questions, permission prompts and tools, which few agents use. The panel loads this
// with the first of them and passes in the functions it needs.

import { cardWords } from "./words.js";

/** @typedef {import("../../clients/js/src/reduce.js").Item} Item */

/**
 * @typedef {object} Kit
 * @property {typeof import("./h.js").h} h
 * @property {typeof import("./h.js").icon} icon
 * @property {typeof import("./strings.js").say} say
 * @property {typeof import("./strings.js").teach} teach
 * @property {(text: string) => string} plain
 * @property {(el: Element) => import("./markdown.js").Markdown} markdown
 * @property {(answer: {answer: string}|{decision: "approve"|"deny"}) => void} respond
 */

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
.tool{display:flex;align-items:center;gap:8px;color:var(--muted);font-size:.88em;min-width:0;animation:in .22s}
.tool svg{width:16px;height:16px;flex:none}
.tool .name{font-weight:500;flex:none}
.tool code{overflow:hidden;text-overflow:ellipsis;white-space:nowrap;background:var(--soft);border-radius:6px;padding:1px 7px;min-width:0}
.tool .state{flex:none}
.tool[data-state=done] .state{position:absolute;clip-path:inset(50%)}
.tool[data-state=running] .name{animation:breathe 1.4s infinite alternate}
.tool[data-state=failed]{color:var(--bad)}
.note svg{width:17px;height:17px;flex:none}
.wait{border:1px dashed var(--line);border-radius:12px;padding:10px 14px}
.wait.over{border:0;padding:0}
.card p{margin:0}
.choices{display:flex;flex-wrap:wrap;gap:8px;margin-top:12px}
.question .text,.approval p{font-weight:500}
.choice small{display:block;color:var(--muted)}
.choice[aria-pressed=true]{background:var(--tint);border-color:var(--link);font-weight:500}
[aria-disabled=true]{cursor:default}
.settled [aria-disabled=true][aria-pressed=false],.settled .decide{opacity:.5}
.free{display:flex;gap:8px;margin-top:12px}
.free input{flex:1;min-width:0;border:1px solid var(--line);border-radius:11px;background:var(--bg);padding:8px 12px;font-size:max(16px,1em)}
.free input:read-only{background:var(--soft)}
.outcome{font-size:.87em;color:var(--muted);margin-top:10px}
.outcome:empty{display:none}
.unseen{margin-top:10px;font-size:.92em;color:var(--bad)}
.unseen .link{margin-inline-start:8px}
details{margin-top:8px;font-size:.92em}
summary{cursor:pointer;color:var(--muted);padding:2px 0}
.card pre{background:var(--soft);border-radius:10px;padding:10px 12px;overflow:auto;max-height:240px;margin:6px 0 0;white-space:pre-wrap}
`);

/**
 * Fills a card; returns the function that updates it.
 * @param {HTMLElement} el
 * @param {Item} first
 * @param {Kit} kit
 * @returns {(item: Item) => void}
 */
export function fill(el, first, kit) {
  kit.teach(cardWords);
  const root = el.getRootNode();
  if (root instanceof ShadowRoot && !root.adoptedStyleSheets.includes(sheet)) root.adoptedStyleSheets.push(sheet);
  return (first.kind === "tool" ? tool : first.kind === "question" ? question : first.id === null ? wait : approval)(el, first, kit);
}

/** @type {typeof fill} */
function question(el, first, { h, say, plain, markdown, respond }) {
  let settled = false;
  const ask = h("div", { class: "text" });
  const text = markdown(ask);
  const choices = (first.options ?? []).map((o) => {
    const button = h("button", { class: "starter choice", onclick: () => settled || respond({ answer: o.label }) }, h("span", {}, plain(o.label)), o.detail ? h("small", {}, plain(o.detail)) : null);
    return { o, button };
  });
  const field = h("input", { type: "text", "aria-label": say("answer"), placeholder: say("answer"), dir: "auto", autocomplete: "off", enterkeyhint: "send" });
  const send = h("button", { type: "submit", class: "small" }, say("answerSend"));
  const form = h("form", { class: "free", onsubmit: (/** @type {Event} */ e) => {
    e.preventDefault();
    const answer = field.value.trim();
    if (answer && !settled) respond({ answer });
  } }, field, send);
  field.addEventListener("keydown", (e) => {
    if (e.key === "Enter" && (e.isComposing || e.keyCode === 229)) e.preventDefault();
  });
  const outcome = h("div", { class: "outcome" });
  el.append(ask, ...(choices.length ? [h("div", { class: "choices" }, ...choices.map((c) => c.button))] : []), form, outcome);
  return (item) => {
    text.update(item.text, true);
    // Controls are not disabled or removed: one of them has the focus.
    settled = item.outcome !== null || item.mine !== undefined;
    const chosen = choices.find((c) => c.o.label === item.mine);
    for (const c of choices) {
      c.button.setAttribute("aria-disabled", String(settled));
      c.button.setAttribute("aria-pressed", String(c === chosen));
    }
    field.readOnly = settled;
    send.hidden = settled;
    form.hidden = settled && (!item.mine || !!chosen);
    if (item.mine !== undefined && !chosen) field.value = item.mine;
    el.classList.toggle("settled", settled);
    outcome.textContent = !settled ? "" : item.outcome === "stopped" ? say("interrupted") : item.mine !== undefined ? say("answered", { answer: item.mine }) : say(item.elsewhere ? "answeredElsewhere" : "settled");
  };
}

/** How much of a request is shown at first, in characters. */
const most = 10_000;

/** Makes invisible characters visible: controls, and characters that reorder or hide text. @param {string} text */
function visible(text) {
  return text.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\u{e0000}-\u{e007f}]/gu, (c) => `⟨U+${(c.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/**
 * A visitor is responsible for what will be run, so hidden parts are announced: the rest
 * of a long request, and the parts that the relay cut off.
 * @type {typeof fill}
 */
function approval(el, { text, input, truncated }, { h, say, plain, respond }) {
  let settled = false;
  const ask = h("p", {}, say("approvalAsk", { tool: plain(text) }));
  // What will be run is visible at once. The rest is a click away, unless it is more than
  // a comment.
  const key = ["command", "file_path", "path", "query"].find((k) => typeof (/** @type {any} */ (input)?.[k]) === "string" && /** @type {any} */ (input)[k]);
  const gist = key ? String(/** @type {any} */ (input)[key]) : "";
  const all = typeof input === "string" ? input : input === undefined ? "" : JSON.stringify(input, null, 2);
  const open = !key || Object.keys(/** @type {object} */ (input)).some((k) => k !== key && k !== "description");
  /** @type {(() => void)[]} functions that show the rest */
  const rest = [];
  /** @param {string} words @param {string} [cls] */
  const shown = (words, cls) => {
    const whole = visible(words);
    const pre = h("pre", { class: cls, tabindex: 0, dir: "ltr" }, whole.slice(0, most));
    if (whole.length > most) rest.push(() => pre.replaceChildren(whole));
    return pre;
  };
  const run = gist ? [shown(gist, "gist")] : [];
  const details = all ? [h("details", { open }, h("summary", {}, say("details")), shown(all))] : [];
  const more = h("button", { class: "link", hidden: !rest.length, onclick: () => {
    for (const show of rest.splice(0)) show();
    more.hidden = true;
    tell();
    allow.focus();
  } }, say("showAll"));
  const words = h("span");
  const warning = h("div", { class: "unseen", part: "note" }, words, more);
  /** @param {"approve"|"deny"} decision @param {string} cls */
  const button = (decision, cls) => h("button", { class: cls, onclick: () => settled || respond({ decision }) }, say(decision));
  const allow = button("approve", "small strong");
  const buttons = h("div", { class: "decide" }, allow, button("deny", "small"));
  const outcome = h("div", { class: "outcome" });
  const tell = () => {
    const unseen = [rest.length ? say("approvalCut", { n: most }) : "", truncated ? say("approvalTruncated") : ""].filter(Boolean).join(" ");
    words.textContent = unseen;
    warning.hidden = !unseen;
    allow.textContent = say(unseen ? "approveUnseen" : "approve");
    allow.ariaDescription = unseen;
  };
  tell();
  el.append(ask, ...run, ...details, warning, buttons, outcome);
  return (item) => {
    settled = item.outcome !== null || item.mine !== undefined;
    for (const b of buttons.children) b.setAttribute("aria-disabled", String(settled));
    el.classList.toggle("settled", settled);
    const said = item.mine ?? item.outcome ?? "";
    outcome.textContent = !settled ? "" : said === "stopped" ? say("interrupted") : /appro|allow/.test(said) ? say("approved") : /den|reject|refus/.test(said) ? say("denied") : say(item.elsewhere ? "decidedElsewhere" : "decided");
  };
}

/** For prompts that the operator decides; the visitor can only wait. @type {typeof fill} */
function wait(el, _, { h, icon, say }) {
  const text = h("span");
  el.append(icon("M12 8v5M12 16.5v.01M12 3l9 16H3z"), text);
  return ({ outcome }) => {
    text.textContent = say(outcome === null ? "approvalWaits" : "approvalOver");
    el.classList.toggle("over", outcome !== null);
  };
}

/** @type {typeof fill} */
function tool(el, _, { h, icon, say, plain }) {
  const name = h("span", { class: "name" });
  const what = h("code", { dir: "ltr" });
  const state = h("span", { class: "state" });
  el.append(icon("M5 7l5 5-5 5M12.5 17H19"), name, what, state);
  return (item) => {
    name.textContent = plain(item.name ?? "");
    what.textContent = plain(item.text.slice(0, 200));
    what.hidden = !item.text;
    el.dataset.state = item.state;
    state.textContent = say(item.state === "running" ? "toolRunning" : item.state === "failed" ? "toolFailed" : "toolDone");
  };
}
