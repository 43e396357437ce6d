// @ts-check
// One transcript row for each kind of item. A row is built once and updated, so focus and
// selection are kept.
import { h, icon } from "./h.js";
import { markdownPart, part } from "./part.js";
import { plain, short } from "./plain.js";
import { locale, reason, say, teach } from "./strings.js";
import { stamp } from "./times.js";

/** @typedef {import("../../clients/js/src/reduce.js").Item} Item */
/** @typedef {import("../../clients/js/src/reduce.js").Pending} Pending */

/**
 * The visitor's actions in the transcript.
 * @typedef {object} Acts
 * @property {(id: string, answer: {answer: string}|{decision: "approve"|"deny"}) => void} respond
 * @property {(turn: string) => void} retry
 * @property {() => void} retryNow
 * @property {(turn: Pending) => void} edit
 * @property {(turn: Pending) => void} discard
 * @property {((end: Item) => void)|null} again sends the message of a failed turn again; null in an earlier conversation
 * @property {() => boolean} rates whether answers may be rated
 * @property {(turn: string, rating: "up"|"down"|null, place: HTMLElement) => void} rate
 * @property {() => void} renew updates every row again
 * @property {() => string} name the agent's name
 * @property {(item: Item) => string} time the time of an item, "" if unknown
 * @property {(button: HTMLElement, text: string, shown: Element) => void} copy
 */

/**
 * @typedef {object} Row
 * @property {HTMLElement} el
 * @property {(item: any, late: () => boolean) => boolean|void} update returns true if something is left for lack of time
 * @property {(now: number) => void} [tick] called every second while something waits
 */

/**
 * @param {Item} item pending turns have no kind
 * @param {Acts} acts
 * @returns {Row}
 */
export function row(item, acts) {
  switch (item.kind) {
    case undefined:
    case "user":
      return userRow(acts);
    case "agent":
      return agentRow(acts);
    case "tool":
    case "question":
    case "approval":
      return cardRow(item, acts);
    default:
      return endRow(item, acts);
  }
}

/** How much of a long answer is rendered at a time, in characters, until the time is up. */
const step = 1000;

const labels = () => ({ copy: say("copy"), table: say("table") });

/** @type {typeof import("./markdown.js")|undefined} loaded with the agent's first text */
let words;
/** @type {Promise<void>|undefined} */
let loading;

/** Loads the Markdown part, with a retry after a while if that fails. @param {() => void} then */
function load(then) {
  loading ??= markdownPart().then(
    (m) => {
      words = m;
    },
    () => new Promise((done) => setTimeout(done, 3000)).then(() => {
      loading = undefined;
    }),
  );
  void loading.then(then);
}

/** @param {string} label @param {() => void} act */
function link(label, act) {
  return h("button", { class: "link", onclick: act }, label);
}

/** @param {Acts} acts @returns {Row} */
function agentRow(acts) {
  const text = h("div", { class: "text", part: "message-text" });
  /** @type {import("./markdown.js").Markdown|undefined} */
  let markdown;
  let said = "";
  let shown = 0;
  const copy = h("button", { class: "copy", "aria-label": say("copyMessage"), onclick: () => acts.copy(copy, said, text) }, say("copy"));
  const time = h("span");
  /** @type {Item|undefined} */
  let now;
  const thumbs = /** @type {const} */ (["up", "down"]).map((rating) => {
    const label = say(rating === "up" ? "good" : "poor");
    return h("button", { class: "thumb", part: "rate", "aria-label": label, title: label, hidden: true, onclick: () => now?.answers && acts.rate(now.answers, now.rating === rating ? null : rating, tools) }, icon(rating === "up" ? "up" : "poor"));
  });
  const tools = h("div", { class: "tools" }, copy, ...thumbs, time);
  const el = h("article", { "data-role": "agent", class: "msg agent", part: "message message-agent", "aria-label": acts.name() }, text, tools);
  return {
    el,
    update(/** @type {Item} */ item, late) {
      said = item.text;
      now = item;
      thumbs.forEach((thumb, down) => {
        thumb.hidden = !item.answers || !acts.rates();
        thumb.ariaPressed = String(item.rating === (down ? "down" : "up"));
      });
      time.textContent = acts.time(item);
      text.classList.toggle("raw", !words);
      if (!words) {
        // Until the part is loaded, the text is shown without markup.
        load(acts.renew);
        text.textContent = plain(said.slice(0, step));
        el.classList.toggle("open", (tools.hidden = true));
        return false;
      }
      if (!markdown) text.replaceChildren();
      markdown ??= new words.Markdown(text, labels());
      let left = true;
      while (left) {
        shown += step + (shown >> 4); // a growing block is parsed again each time
        left = shown < said.length;
        markdown.update(said.slice(0, shown), !left && !item.open);
        if (late()) break;
      }
      shown = Math.min(shown, said.length);
      el.classList.toggle("open", (tools.hidden = left || !!item.open));
      return left;
    },
  };
}

/**
 * A visitor's message, in flight or delivered.
 * @param {Acts} acts
 * @returns {Row}
 */
function userRow(acts) {
  const text = h("div", { class: "bubble", part: "message-text", dir: "auto" });
  const files = h("div", { class: "files" });
  const meta = h("div", { class: "meta" });
  const el = h("article", { "data-role": "user", class: "msg user", part: "message message-user", "aria-label": say("you") }, text, files, meta);
  /** @type {Pending|null} */
  let pending = null;
  const words = () => {
    if (pending?.state !== "waiting") return "";
    const s = Math.max(1, Math.ceil((pending.until - Date.now()) / 1000));
    if (pending.code === "paused") return say("downWhy", { why: pending.detail, s });
    return say(pending.code === "session_booting" ? "waitBooting" : pending.code === "rate_limited" ? "waitRate" : "waitOther", { s });
  };
  const line = h("span");
  return {
    el,
    update(/** @type {Item|Pending} */ item) {
      text.textContent = plain(item.text);
      text.hidden = !item.text;
      files.replaceChildren(...(item.attachments ?? []).map((a) => h("span", { class: "file", title: plain(String(a.name)) }, short(String(a.name)))));
      pending = "state" in item && "until" in item ? /** @type {Pending} */ (item) : null;
      const p = pending;
      el.dataset.state = p?.state ?? "sent";
      if (p?.state === "failed") {
        // A proxy that refuses a large body often closes the connection, or its response
        // cannot be read from another origin.
        const why = reason(p.code !== "unreachable" ? p : { code: p.attachments.length ? "upload_failed" : "", detail: "" });
        line.textContent = p.until > Date.now() + 60_000 ? say("later", { why, when: stamp(p.until / 1000, 0) }) : p.code === "files_lost" ? say("filesLost") : why ? say("notSentWhy", { why }) : say("notSent");
        meta.replaceChildren(line, link(say("retry"), () => acts.retry(p.turn)), link(say("edit"), () => acts.edit(p)), link(say("discard"), () => acts.discard(p)));
      } else if (p?.state === "stopped") {
        line.textContent = say("unsent");
        meta.replaceChildren(line, link(say("edit"), () => acts.edit(p)), link(say("discard"), () => acts.discard(p)));
      } else if (p?.state === "waiting") {
        line.textContent = words();
        meta.replaceChildren(line, link(say("retryNow"), acts.retryNow));
      } else if (p?.state === "sending") {
        line.textContent = p.sent ? `${say("sending")} ${p.sent.toLocaleString(locale, { style: "percent" })}` : say("sending");
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

/**
 * Cards, which few agents use; loaded with the first one.
 * @param {Item} first
 * @param {Acts} acts
 * @returns {Row}
 */
function cardRow(first, acts) {
  const { kind, id } = first;
  const ask = kind === "question" ? `${acts.name()}: ${first.text}` : say("approvalAsk", { tool: plain(first.text) });
  const el = kind === "tool" ? h("div", { class: "tool", part: "tool" }) : id === null ? h("div", { class: "note wait", part: "note" }) : h("article", { "data-role": kind, class: `card ${kind}`, part: `card ${kind}`, "aria-label": ask });
  /** @type {((item: Item) => void)|null} */
  let renew = null;
  let now = first;
  const kit = { h, icon, say, teach, plain, respond: (/** @type {any} */ answer) => acts.respond(id ?? "", answer) };
  const load = () =>
    Promise.all([part("cards"), kind === "question" && markdownPart()]).then(
      ([m, md]) => {
        renew = m.fill(el, first, { ...kit, markdown: (/** @type {Element} */ e) => md && new md.Markdown(e, labels()) });
        renew?.(now);
      },
      () => setTimeout(() => el.isConnected && load(), 3000), // a prompt must not stay unanswered
    );
  void load();
  return {
    el,
    update(/** @type {Item} */ item) {
      now = item;
      renew?.(item);
    },
  };
}

/** The end of a turn, or an error. @param {Item} item @param {Acts} acts @returns {Row} */
function endRow(item, acts) {
  const { again } = acts;
  const failed = item.kind === "end" && item.text === "failed";
  const text = item.kind === "problem" ? reason({ code: item.code ?? "", detail: item.text }) || say("failed") : say(failed ? "failed" : "interrupted");
  const el = h("div", { class: `note ${failed || item.kind === "problem" ? "bad" : ""}`, part: "note" }, h("span", {}, plain(text)), failed && again ? link(say("again"), () => again(item)) : null);
  return { el, update: () => {} };
}
