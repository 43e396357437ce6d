// @ts-check
// One row of the transcript for each kind of item. A row is built once and
// brought up to date, so focus and selection stay where they are.
import { h, icon } from "./h.js";
import { Markdown } from "./markdown.js";
import { plain } from "./markdown-link.js";
import { reason, say } from "./strings.js";

/** @typedef {import("./reduce.js").Item} Item */
/** @typedef {import("./reduce.js").Pending} Pending */

/**
 * What a visitor can do in the transcript.
 * @typedef {object} Acts
 * @property {(id: string, answer: {answer: string}|{decision: "approve"|"deny"}) => void} respond
 * @property {(turn: string) => void} retry
 * @property {() => void} retryNow
 * @property {(turn: Pending) => void} edit
 * @property {(turn: Pending) => void} discard
 * @property {() => void} again
 * @property {() => string} name the agent's
 */

/**
 * @typedef {object} Row
 * @property {HTMLElement} el
 * @property {(item: any) => void} update
 * @property {(now: number) => void} [tick] every second while something waits
 */

/**
 * @param {Item} item
 * @param {Acts} acts
 * @returns {Row}
 */
export function row(item, acts) {
  switch (item.kind) {
    case "user":
      return userRow(acts);
    case "agent":
      return agentRow(acts);
    case "tool":
      return toolRow();
    case "question":
      return questionRow(item, acts);
    case "approval":
      return item.id === null ? waitRow() : approvalRow(item, acts);
    default:
      return endRow(item, acts);
  }
}

const labels = () => ({ copy: say("copy"), table: say("table") });

/** @param {string} label @param {() => void} act */
function link(label, act) {
  return h("button", { type: "button", class: "link", onclick: act }, label);
}

/** @param {Acts} acts @returns {Row} */
function agentRow(acts) {
  const text = h("div", { class: "text", part: "message-text" });
  const markdown = new Markdown(text, labels());
  const el = h("article", { "data-role": "agent", class: "msg agent", part: "message message-agent", "aria-label": acts.name() }, text);
  return {
    el,
    update(/** @type {Item} */ item) {
      markdown.update(item.text, !item.open);
      el.classList.toggle("open", !!item.open);
    },
  };
}

/**
 * A visitor's message, on its way or arrived.
 * @param {Acts} acts
 * @returns {Row}
 */
export function userRow(acts) {
  const text = h("div", { class: "bubble", part: "message-text", dir: "auto" });
  const files = h("div", { class: "files" });
  const meta = h("div", { class: "meta" });
  const el = h("article", { "data-role": "user", class: "msg user", part: "message message-user", "aria-label": say("you") }, text, files, meta);
  /** @type {Pending|null} */
  let pending = null;
  const words = () => {
    if (pending?.state !== "waiting") return "";
    const s = Math.max(1, Math.ceil((pending.until - Date.now()) / 1000));
    return say(pending.code === "session_booting" ? "waitBooting" : pending.code === "rate_limited" ? "waitRate" : "waitOther", { s });
  };
  const line = h("span");
  return {
    el,
    update(/** @type {Item|Pending} */ item) {
      text.textContent = plain(item.text);
      text.hidden = !item.text;
      files.replaceChildren(...(item.attachments ?? []).map((a) => h("span", { class: "file" }, plain(String(a.name)))));
      pending = "state" in item && "until" in item ? /** @type {Pending} */ (item) : null;
      const p = pending;
      el.dataset.state = p?.state ?? "sent";
      if (p?.state === "failed") {
        line.textContent = p.code !== "unreachable" && p.detail ? say("notSentWhy", { why: reason(p) }) : say("notSent");
        meta.replaceChildren(line, link(say("retry"), () => acts.retry(p.turn)), link(say("edit"), () => acts.edit(p)), link(say("discard"), () => acts.discard(p)));
      } else if (p?.state === "waiting") {
        line.textContent = words();
        meta.replaceChildren(line, link(say("retryNow"), acts.retryNow));
      } else if (p?.state === "sending") {
        line.textContent = say("sending");
        meta.replaceChildren(line);
      } else {
        meta.replaceChildren();
      }
    },
    tick() {
      if (pending?.state === "waiting") line.textContent = words();
    },
  };
}

/** @returns {Row} */
function toolRow() {
  const name = h("span", { class: "name" });
  const what = h("code");
  const state = h("span", { class: "state" });
  const el = h("div", { class: "tool", part: "tool" }, icon("tool"), name, what, state);
  return {
    el,
    update(/** @type {Item} */ item) {
      name.textContent = plain(item.name ?? "");
      what.textContent = plain(item.text.slice(0, 200));
      what.hidden = !item.text;
      el.dataset.state = item.state;
      state.textContent = say(item.state === "running" ? "toolRunning" : item.state === "failed" ? "toolFailed" : "toolDone");
    },
  };
}

/** @param {Item} first @param {Acts} acts @returns {Row} */
function questionRow(first, acts) {
  const id = first.id ?? "";
  const ask = h("div", { class: "text" });
  const markdown = new Markdown(ask, labels());
  const choices = (first.options ?? []).map((o) => {
    const button = h("button", { type: "button", class: "choice", onclick: () => settledNow || acts.respond(id, { answer: o.label }) }, h("span", {}, plain(o.label)), o.detail ? h("small", {}, plain(o.detail)) : null);
    return { o, button };
  });
  const field = h("input", { type: "text", "aria-label": say("answer"), placeholder: say("answer"), dir: "auto", autocomplete: "off", enterkeyhint: "send" });
  const send = h("button", { type: "submit", class: "small" }, say("answerSend"));
  const form = h("form", { class: "free", onsubmit: (/** @type {Event} */ e) => {
    e.preventDefault();
    const answer = field.value.trim();
    if (answer && !settledNow) acts.respond(id, { answer });
  } }, field, send);
  field.addEventListener("keydown", (e) => {
    if (e.key === "Enter" && (e.isComposing || e.keyCode === 229)) e.preventDefault();
  });
  const outcome = h("div", { class: "outcome" });
  const el = h("article", { "data-role": "question", class: "card question", part: "card question", "aria-label": `${acts.name()}: ${first.text}` }, ask, choices.length ? h("div", { class: "choices" }, ...choices.map((c) => c.button)) : null, form, outcome);
  let settledNow = false;
  return {
    el,
    update(/** @type {Item} */ item) {
      markdown.update(item.text, true);
      // Controls are not disabled or taken away: one of them has the focus.
      settledNow = item.outcome !== null || item.mine !== undefined;
      const chosen = choices.find((c) => c.o.label === item.mine);
      for (const c of choices) {
        c.button.setAttribute("aria-disabled", String(settledNow));
        c.button.setAttribute("aria-pressed", String(c === chosen));
      }
      field.readOnly = settledNow;
      send.hidden = settledNow;
      form.hidden = settledNow && (!item.mine || !!chosen);
      if (item.mine !== undefined && !chosen) field.value = item.mine;
      el.classList.toggle("settled", settledNow);
      outcome.textContent = !settledNow ? "" : item.mine !== undefined ? say("answered", { answer: item.mine }) : say(item.elsewhere ? "answeredElsewhere" : "settled");
    },
  };
}

/** The operator decides; the visitor can only wait. @returns {Row} */
function waitRow() {
  const text = h("span");
  const el = h("div", { class: "note wait", part: "note" }, icon("hand"), text);
  return {
    el,
    update(/** @type {Item} */ item) {
      text.textContent = say(item.outcome === null ? "approvalWaits" : "approvalOver");
      el.classList.toggle("over", item.outcome !== null);
    },
  };
}

/** @param {Item} first @param {Acts} acts @returns {Row} */
function approvalRow(first, acts) {
  const id = first.id ?? "";
  const ask = h("p", {}, say("approvalAsk", { tool: plain(first.text) }));
  const input = typeof first.input === "string" ? first.input : first.input === undefined ? "" : JSON.stringify(first.input, null, 2);
  const details = input ? h("details", {}, h("summary", {}, say("details")), h("pre", { tabindex: 0, dir: "ltr" }, plain(input.slice(0, 20000)))) : null;
  let settledNow = false;
  /** @param {"approve"|"deny"} decision @param {string} label @param {string} cls */
  const button = (decision, label, cls) => h("button", { type: "button", class: cls, onclick: () => settledNow || acts.respond(id, { decision }) }, label);
  const buttons = h("div", { class: "decide" }, button("approve", say("approve"), "small strong"), button("deny", say("deny"), "small"));
  const outcome = h("div", { class: "outcome" });
  const el = h("article", { "data-role": "approval", class: "card approval", part: "card approval", "aria-label": ask.textContent }, ask, details, buttons, outcome);
  return {
    el,
    update(/** @type {Item} */ item) {
      settledNow = item.outcome !== null || item.mine !== undefined;
      for (const b of buttons.children) b.setAttribute("aria-disabled", String(settledNow));
      el.classList.toggle("settled", settledNow);
      const said = item.mine ?? item.outcome ?? "";
      outcome.textContent = !settledNow ? "" : /appro|allow/.test(said) ? say("approved") : /den|reject|refus/.test(said) ? say("denied") : say(item.elsewhere ? "decidedElsewhere" : "decided");
    },
  };
}

/** How a turn ended, or what went wrong. @param {Item} item @param {Acts} acts @returns {Row} */
function endRow(item, acts) {
  const failed = item.kind === "end" && item.text === "failed";
  const text = item.kind === "problem" ? reason({ code: item.code ?? "", detail: item.text }) || say("failed") : say(failed ? "failed" : "interrupted");
  const el = h("div", { class: `note ${failed || item.kind === "problem" ? "bad" : ""}`, part: "note" }, h("span", {}, plain(text)), failed ? link(say("again"), acts.again) : null);
  return { el, update: () => {} };
}
