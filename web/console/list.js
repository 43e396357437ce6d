// The list of conversations on the operators' page. Rows are kept by id and updated in
// place, so that a list of thousands costs only what is visible.

import { call } from "./api.js";
import { at, make, sure, when } from "./dom.js";

const slice = 8; // ms of rendering per task

/** @typedef {{id: string, kind: string, tool?: string, input?: unknown, truncated?: boolean}} Prompt */
/** @typedef {{id: string, site: string, visitor: string, status: string, epoch: number, agent_busy: boolean, prompts: Prompt[], streams: number, started_at: string, last_active_at: string}} Row */

/**
 * What rows need from the page.
 * @typedef {object} Page
 * @property {(label: string, kind: string, act: () => Promise<unknown>) => HTMLButtonElement} button
 * @property {(conversation: string) => Promise<unknown>} read shows the conversation
 */

/** @param {Row} c */
function facts(c) {
  const busy = c.agent_busy ? ", busy" : "";
  const tabs = c.streams === 1 ? "1 tab open" : `${c.streams} tabs open`;
  return `${c.status}${busy} · ${tabs} · site ${c.site} · visitor ${c.visitor} · epoch ${c.epoch} · started ${when(c.started_at)} · last active ${when(c.last_active_at)}`;
}

/** @param {Row} c @param {Prompt} p @param {Page["button"]} button */
function promptNode(c, p, button) {
  const path = `conversations/${encodeURIComponent(c.id)}/prompts/${encodeURIComponent(p.id)}`;
  const box = make("div", { role: "group", "aria-label": p.kind === "permission" ? `Permission for ${p.tool || "a tool"}` : "Question" });
  if (p.kind === "permission") {
    box.append(make("p", {}, "Requests permission to use ", make("strong", {}, p.tool || "a tool"), "."));
    if (p.truncated) box.append(make("p", {}, "The tool's input is too large to display."));
    else if (p.input === undefined) box.append(make("p", {}, "The tool's input could not be read from AnyFrame."));
    else box.append(make("pre", { tabindex: "0", "aria-label": "Exact input" }, JSON.stringify(p.input, null, 2)));
    const decide = (/** @type {string} */ decision) => call("POST", path, { decision }).then(() => (decision === "approve" ? "Approved." : "Denied."));
    box.append(make("p", { class: "buttons" }, button("Approve", "main", () => decide("approve")), button("Deny", "hard", () => decide("deny"))));
    return box;
  }
  const id = `answer-${c.id}-${p.id}`;
  const text = /** @type {HTMLInputElement} */ (make("input", { id, autocomplete: "off" }));
  box.append(
    make("p", {}, make("label", { for: id }, "The agent asks a question. Answer for the visitor")),
    text,
    make("p", { class: "buttons" }, button("Answer", "main", () => call("POST", path, { answer: text.value }).then(() => "Answered."))),
  );
  return box;
}

export class List {
  /** @param {string} id @param {string} none shown while the list is empty @param {boolean} prompts whether rows show pending prompts @param {Page} page */
  constructor(id, none, prompts, page) {
    this.page = page;
    this.ul = at(id);
    this.none = at(none);
    this.prompts = prompts;
    /** @type {Map<string, {li: HTMLElement, facts: HTMLElement, box: HTMLElement, shown: string}>} */
    this.rows = new Map();
  }

  /** @param {Row[]} all rendered in slices, so that no task is long */
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
        row.shown = shown; // only on a change, as the operator may be about to answer
        row.box.replaceChildren(...c.prompts.map((p) => promptNode(c, p, this.page.button)));
      }
      row.li.classList.toggle("waits", c.prompts.length > 0);
    }
    this.none.hidden = all.length > 0;
  }

  /** @param {Row} c */
  add(c) {
    const { button, read } = this.page;
    const line = make("p", { class: "facts" });
    const box = make("div");
    const buttons = make(
      "p",
      { class: "buttons" },
      button("Read", "read", () => read(c.id)),
      button("Stop", "hard", async () => {
        await call("POST", `conversations/${encodeURIComponent(c.id)}/stop`);
        return "Stopped.";
      }),
      button("End", "hard", async () => {
        if (!(await sure("End this conversation? The visitor's next message starts a new one.", "End conversation"))) return "";
        await call("POST", `conversations/${encodeURIComponent(c.id)}/end`);
        return "Ended.";
      }),
      button("Block visitor", "hard", async () => {
        if (!(await sure("Block this visitor for 1 day?", "Block"))) return "";
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
