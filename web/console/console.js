// The operators' page. It keeps the token in memory only, shows what GET /api/conversations
// says, and asks again for what GET /api/events says has changed. Rows are kept by id and
// changed in place, so that a list of thousands costs what is shown of it.

import { Transcript } from "./transcript.js";
import { Chart } from "./usage.js";

const pageSize = 50;
const slice = 8; // ms of drawing in one task
const settle = 250; // ms in which several changes become one request

/** @type {string} */
let token = "";

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @returns {T}
 */
const at = (id) => /** @type {T} */ (document.getElementById(id));

class Refusal extends Error {
  /** @param {number} status @param {string} code @param {string} detail */
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/**
 * Makes a request to the API.
 * @param {string} method @param {string} path @param {object} [body] @param {AbortSignal} [signal]
 */
async function call(method, path, body, signal) {
  /** @type {Record<string, string>} */
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  const res = await fetch(`api/${path}`, { method, headers, body: body && JSON.stringify(body), signal, cache: "no-store" });
  if (res.ok) return res;
  let told = { code: "", detail: "" };
  try {
    told = await res.json();
  } catch {
    // not ours
  }
  throw new Refusal(res.status, told.code, told.detail || `The relay answers ${res.status}.`);
}

/** @param {string} method @param {string} path @param {object} [body] */
const json = async (method, path, body) => (await call(method, path, body)).json();

/** @param {string} text @param {boolean} [alert] */
function say(text, alert = false) {
  at("state").textContent = text;
  at("state").classList.toggle("alert", alert);
}

/**
 * Makes an element.
 * @param {string} tag @param {Record<string, string>} [attrs] @param {...(Node|string)} children
 */
function make(tag, attrs = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

/** @param {string} label @param {string} kind @param {() => Promise<unknown>} act */
function button(label, kind, act) {
  const b = /** @type {HTMLButtonElement} */ (make("button", { type: "button", class: kind }, label));
  b.addEventListener("click", () => doing(b, act));
  return b;
}

/**
 * Runs what a button does, once at a time, and says how it went.
 * @param {HTMLButtonElement} b @param {() => Promise<unknown>} act
 */
async function doing(b, act) {
  b.disabled = true;
  try {
    const done = await act();
    if (typeof done === "string" && done) say(done);
    changed("conversations");
  } catch (err) {
    await failed(err);
  } finally {
    b.disabled = false;
  }
}

/** @param {unknown} err */
async function failed(err) {
  if (!(await unauthorized(err))) say(err instanceof Error ? err.message : "That did not work.", true);
}

/** @param {string} question @param {string} yes @returns {Promise<boolean>} */
function sure(question, yes) {
  const dialog = /** @type {HTMLDialogElement} */ (at("confirm-dialog"));
  at("confirm-text").textContent = question;
  at("confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

const times = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
/** @param {string} t */
const when = (t) => times.format(new Date(t));

/** @typedef {{id: string, kind: string, tool?: string, input?: unknown, truncated?: boolean}} Prompt */
/** @typedef {{id: string, site: string, visitor: string, status: string, epoch: number, agent_busy: boolean, prompts: Prompt[], streams: number, started_at: string, last_active_at: string}} Row */

/** @param {Row} c */
function facts(c) {
  const busy = c.agent_busy ? ", at work" : "";
  const tabs = c.streams === 1 ? "1 tab open" : `${c.streams} tabs open`;
  return `${c.status}${busy} · ${tabs} · site ${c.site} · visitor ${c.visitor} · number ${c.epoch} · since ${when(c.started_at)} · active ${when(c.last_active_at)}`;
}

/** @param {Row} c @param {Prompt} p */
function promptNode(c, p) {
  const path = `conversations/${encodeURIComponent(c.id)}/prompts/${encodeURIComponent(p.id)}`;
  const box = make("div", { role: "group", "aria-label": p.kind === "permission" ? `Permission for ${p.tool || "a tool"}` : "Question" });
  if (p.kind === "permission") {
    box.append(make("p", {}, "Asks for permission to use ", make("strong", {}, p.tool || "a tool"), "."));
    if (p.truncated) box.append(make("p", {}, "What it would do is too large to be shown here."));
    else if (p.input === undefined) box.append(make("p", {}, "What it would do could not be read from AnyFrame."));
    else box.append(make("pre", { tabindex: "0", "aria-label": "Exact input" }, JSON.stringify(p.input, null, 2)));
    const decide = (/** @type {string} */ decision) => call("POST", path, { decision }).then(() => (decision === "approve" ? "Approved." : "Denied."));
    box.append(make("p", { class: "buttons" }, button("Approve", "main", () => decide("approve")), button("Deny", "hard", () => decide("deny"))));
    return box;
  }
  const id = `answer-${c.id}-${p.id}`;
  const text = /** @type {HTMLInputElement} */ (make("input", { id, autocomplete: "off" }));
  box.append(
    make("p", {}, make("label", { for: id }, "Asks a question. Answer in the visitor’s place")),
    text,
    make("p", { class: "buttons" }, button("Answer", "main", () => call("POST", path, { answer: text.value }).then(() => "Answered."))),
  );
  return box;
}

/** A list whose rows are kept by id and changed in place. */
class List {
  /** @param {string} id @param {string} none @param {boolean} prompts */
  constructor(id, none, prompts) {
    this.ul = at(id);
    this.none = at(none);
    this.prompts = prompts;
    /** @type {Map<string, {li: HTMLElement, facts: HTMLElement, box: HTMLElement, shown: string}>} */
    this.rows = new Map();
  }

  /** @param {Row[]} all in slices, so that no task is long */
  async show(all) {
    const ids = new Set(all.map((c) => c.id));
    for (const [id, row] of this.rows) {
      if (!ids.has(id)) {
        row.li.remove();
        this.rows.delete(id);
      }
    }
    let next = this.ul.firstElementChild;
    let began = performance.now();
    for (const c of all) {
      if (performance.now() - began > slice) {
        await new Promise((resolve) => setTimeout(resolve));
        began = performance.now();
      }
      const row = this.rows.get(c.id) ?? this.add(c);
      if (row.li !== next) this.ul.insertBefore(row.li, next);
      else next = next.nextElementSibling;
      const line = facts(c);
      if (row.facts.textContent !== line) row.facts.textContent = line;
      const shown = this.prompts ? JSON.stringify(c.prompts) : "";
      if (row.shown !== shown) {
        row.shown = shown; // only then, as the operator may be about to answer
        row.box.replaceChildren(...c.prompts.map((p) => promptNode(c, p)));
      }
      row.li.classList.toggle("waits", c.prompts.length > 0);
    }
    this.none.hidden = all.length > 0;
  }

  /** @param {Row} c */
  add(c) {
    const line = make("p", { class: "facts" });
    const box = make("div");
    const buttons = make(
      "p",
      { class: "buttons" },
      button("Read", "read", () => transcript.open(c.id)),
      button("Stop", "hard", async () => {
        await call("POST", `conversations/${encodeURIComponent(c.id)}/stop`);
        return "Stopped.";
      }),
      button("End", "hard", async () => {
        if (!(await sure("End this conversation? The next message begins another.", "End it"))) return "";
        await call("POST", `conversations/${encodeURIComponent(c.id)}/end`);
        return "Ended.";
      }),
      button("Block visitor", "hard", async () => {
        if (!(await sure("Block this visitor for a day?", "Block"))) return "";
        await call("PUT", `blocks/${encodeURIComponent(c.visitor)}`, { for: "24h" });
        return "Blocked.";
      }),
    );
    const li = make("li", { "aria-label": `Conversation ${c.id}` }, make("span", { class: "name" }, c.id), line, box, buttons);
    const row = { li, facts: line, box, shown: "" };
    this.rows.set(c.id, row);
    return row;
  }
}

const waiting = new List("waiting", "no-waiting", true);
const listed = new List("rows", "no-rows", false);
let wanted = pageSize; // rows that the operator wants to see

async function loadWaiting() {
  await waiting.show((await json("GET", `conversations?waiting=true&limit=${pageSize}`)).conversations);
}

async function loadRows() {
  /** @type {Row[]} */
  const all = [];
  const status = /** @type {HTMLSelectElement} */ (at("status")).value;
  let cursor = "";
  do {
    const query = new URLSearchParams({ limit: String(Math.min(wanted - all.length, 200)) });
    if (status) query.set("status", status);
    if (cursor) query.set("cursor", cursor);
    const page = await json("GET", `conversations?${query}`);
    all.push(...page.conversations);
    cursor = page.next_cursor ?? "";
  } while (cursor && all.length < wanted);
  await listed.show(all);
  at("more").hidden = !cursor;
}

async function loadDecisions() {
  const [{ pause }, { banner }, { blocks }] = await Promise.all([json("GET", "pause"), json("GET", "banner"), json("GET", "blocks")]);
  at("unpause").hidden = !pause;
  at("pause-button").textContent = pause ? "Change the text" : "Pause new messages";
  at("unbanner").hidden = !banner;
  for (const [id, text] of [["pause-text", pause?.text], ["banner-text", banner?.text]]) {
    const field = /** @type {HTMLTextAreaElement} */ (at(id));
    if (text && field !== document.activeElement) field.value = text;
  }
  preview();
  if (pause) say(`Paused by ${pause.by} since ${when(pause.since)}.`, true);
  at("no-blocks").hidden = blocks.length > 0;
  at("blocks").replaceChildren(
    ...blocks.map((/** @type {{subject: string, until: string, by: string}} */ b) =>
      make("li", {}, make("span", { class: "name" }, b.subject), ` until ${when(b.until)}, by ${b.by} `, button("Unblock", "", () => call("DELETE", `blocks/${encodeURIComponent(b.subject)}`).then(() => "Unblocked."))),
    ),
  );
}

const chart = new Chart(at);
const transcript = new Transcript(at, (path) => json("GET", path), failed);

/** Finds out whether the relay lets operators read, which it says before it looks for anything. */
async function findReadable() {
  try {
    await call("GET", "conversations/-/transcript");
  } catch (err) {
    document.body.classList.toggle("readable", err instanceof Refusal && err.status === 404);
  }
}

async function loadUsage() {
  chart.show((await json("GET", "usage")).days);
}

const loads = { conversations: loadRows, prompts: loadWaiting, decisions: loadDecisions, usage: loadUsage };
/** @type {Set<keyof typeof loads>} */
const due = new Set();
/** @type {ReturnType<typeof setTimeout>|undefined} */
let timer;
let loading = false;

/** @param {keyof typeof loads} what */
function changed(what) {
  due.add(what);
  if (what === "prompts") due.add("conversations");
  if (what === "conversations") due.add("prompts");
  timer ??= setTimeout(load, settle);
}

async function load() {
  timer = undefined;
  if (loading) return void (timer = setTimeout(load, settle));
  loading = true;
  const now = [...due];
  due.clear();
  try {
    for (const what of now) await loads[what]();
  } catch (err) {
    for (const what of now) due.add(what);
    if (!(await unauthorized(err))) say(err instanceof Error ? err.message : "The relay does not answer.", true);
    timer ??= setTimeout(load, 3000);
  } finally {
    loading = false;
  }
}

/** Reads the stream of changes, again and again. */
async function follow() {
  for (;;) {
    try {
      const res = await call("GET", "events");
      at("main").hidden = false;
      changed("usage");
      void findReadable();
      say("Live.");
      const reader = /** @type {ReadableStream<BufferSource>} */ (/** @type {unknown} */ (res.body)).pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          const what = line.startsWith("event: ") ? line.slice(7) : "";
          if (Object.hasOwn(loads, what)) changed(/** @type {keyof typeof loads} */ (what));
        }
      }
    } catch (err) {
      if (await unauthorized(err)) continue;
    }
    say("Connecting again…", true);
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

/** @type {Promise<void>|undefined} */
let asking;

/**
 * Asks for a token if that is what is missing.
 * @param {unknown} err
 */
async function unauthorized(err) {
  if (!(err instanceof Refusal) || err.status !== 401) return false;
  at("token-wrong").textContent = token ? "The relay does not know this token." : "";
  asking ??= askToken().finally(() => (asking = undefined));
  await asking;
  return true;
}

/** @returns {Promise<void>} */
function askToken() {
  const dialog = /** @type {HTMLDialogElement} */ (at("token-dialog"));
  const field = /** @type {HTMLInputElement} */ (at("token"));
  say("A token is needed.");
  field.value = "";
  dialog.addEventListener("cancel", (e) => e.preventDefault());
  dialog.showModal();
  return new Promise((resolve) => {
    at("token-form").addEventListener(
      "submit",
      (e) => {
        e.preventDefault();
        token = field.value.trim();
        field.value = "";
        dialog.close();
        resolve();
      },
      { once: true },
    );
  });
}

function preview() {
  at("pause-preview").textContent = /** @type {HTMLTextAreaElement} */ (at("pause-text")).value;
}

/** @param {string} id @param {() => Promise<string>} act */
function onSubmit(id, act) {
  at(id).addEventListener("submit", (e) => {
    e.preventDefault();
    doing(/** @type {HTMLButtonElement} */ (at(id).querySelector("button[type=submit]")), act);
  });
}

/** @param {string} id */
const value = (id) => /** @type {HTMLInputElement} */ (at(id)).value.trim();

at("pause-text").addEventListener("input", preview);
preview();
onSubmit("pause-form", async () => {
  if (!(await sure(`Refuse new messages? Visitors will see: ${value("pause-text")}`, "Pause"))) return "";
  await call("PUT", "pause", { text: value("pause-text") });
  return "Paused.";
});
onSubmit("banner-form", () => call("PUT", "banner", { text: value("banner-text") }).then(() => "Every widget shows it."));
onSubmit("block-form", async () => {
  await call("PUT", `blocks/${encodeURIComponent(value("block-subject"))}`, { for: value("block-for") });
  /** @type {HTMLInputElement} */ (at("block-subject")).value = "";
  return "Blocked.";
});
for (const [id, path, done] of [["unpause", "pause", "New messages are taken again."], ["unbanner", "banner", "The line is gone."]]) {
  at(id).addEventListener("click", () => doing(at(id), () => call("DELETE", path).then(() => done)));
}
at("status").addEventListener("change", () => {
  wanted = pageSize;
  changed("conversations");
});
at("more").addEventListener("click", () => {
  wanted *= 2;
  changed("conversations");
});
// Whether a sandbox sleeps is no change that the stream tells.
setInterval(() => {
  if (!document.hidden && !at("main").hidden) changed("conversations");
}, 5000);
setInterval(() => {
  if (!document.hidden && !at("main").hidden) changed("usage");
}, 60_000);
follow();
