// The operators' page. It shows the result of GET /api/conversations, and requests again
// whatever GET /api/events reports as changed.

import { call, json, Refusal, unauthorized } from "./api.js";
import { at, make, say, sure, when } from "./dom.js";
import { List } from "./list.js";
import { Transcript } from "./transcript.js";
import { Chart } from "./usage.js";

const pageSize = 50;
const settle = 250; // ms; changes within this time are combined into one request

/** @param {string} label @param {string} kind @param {() => Promise<unknown>} act */
function button(label, kind, act) {
  const b = /** @type {HTMLButtonElement} */ (make("button", { type: "button", class: kind }, label));
  b.addEventListener("click", () => doing(b, act));
  return b;
}

/**
 * Runs a button's action, one at a time, and shows the result.
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
  if (!(await unauthorized(err))) say(err instanceof Error ? err.message : "Something went wrong.", true);
}

const chart = new Chart(at);
const transcript = new Transcript(at, (path) => json("GET", path), failed);
const page = { button, read: (/** @type {string} */ id) => transcript.open(id) };
const waiting = new List("waiting", "no-waiting", true, page);
const listed = new List("rows", "no-rows", false, page);
let wanted = pageSize; // number of rows that the operator wants to see

async function loadWaiting() {
  await waiting.show((await json("GET", `conversations?waiting=true&limit=${pageSize}`)).conversations);
}

async function loadRows() {
  /** @type {import("./list.js").Row[]} */
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
  at("pause-button").textContent = pause ? "Change message" : "Pause new messages";
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

/** Finds out whether the relay lets operators read conversations: it checks that before it looks up anything. */
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
    if (!(await unauthorized(err))) say(err instanceof Error ? err.message : "The relay does not respond.", true);
    timer ??= setTimeout(load, 3000);
  } finally {
    loading = false;
  }
}

/** Reads the stream of changes, and reconnects when it ends. */
async function follow() {
  for (;;) {
    try {
      const res = await call("GET", "events");
      at("main").hidden = false;
      changed("usage");
      void findReadable();
      say("Connected.");
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
    say("Reconnecting…", true);
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
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
onSubmit("banner-form", () => call("PUT", "banner", { text: value("banner-text") }).then(() => "Banner shown."));
onSubmit("block-form", async () => {
  await call("PUT", `blocks/${encodeURIComponent(value("block-subject"))}`, { for: value("block-for") });
  /** @type {HTMLInputElement} */ (at("block-subject")).value = "";
  return "Blocked.";
});
for (const [id, path, done] of [["unpause", "pause", "New messages are accepted again."], ["unbanner", "banner", "Banner removed."]]) {
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
// The stream does not report when a sandbox goes to sleep.
setInterval(() => {
  if (!document.hidden && !at("main").hidden) changed("conversations");
}, 5000);
setInterval(() => {
  if (!document.hidden && !at("main").hidden) changed("usage");
}, 60_000);
follow();
