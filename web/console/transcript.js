// The messages of a conversation on the operators' page, if the relay allows reading: a
// dialog with one page of the transcript, and more on request.

const slice = 8; // ms of rendering per task

/** @typedef {{event: string, data: any}} Said */
/** @typedef {{who: string, text: string, kind: string}} Entry */

/** @param {unknown} v */
const str = (v) => (typeof v === "string" ? v : "");

/** Converts events into the visible entries, and joins the deltas of a block.
 * @param {Said[]} events @returns {Entry[]} */
export function entriesOf(events) {
  /** @type {Entry[]} */
  const all = [];
  /** @type {Entry|undefined} */
  let open; // a block whose deltas are arriving
  for (const { event, data } of events) {
    if (event === "text") {
      if (data.delta) {
        if (!open) all.push((open = { who: "Agent", text: "", kind: "agent" }));
        open.text += str(data.text);
        continue;
      }
      if (open) open.text = str(data.text); // the complete block, which replaces its deltas
      else all.push({ who: "Agent", text: str(data.text), kind: "agent" });
      open = undefined;
      continue;
    }
    open = undefined;
    const entry = entryOf(event, data);
    if (entry) all.push(entry);
  }
  return all;
}

/** @param {string} event @param {any} data @returns {Entry|undefined} */
function entryOf(event, data) {
  switch (event) {
    case "user": {
      const files = (data.attachments ?? []).map((/** @type {{name: string}} */ a) => `[${str(a.name)}]`);
      return { who: "Visitor", text: [str(data.text), ...files].filter(Boolean).join("\n"), kind: "visitor" };
    }
    case "tool":
      return { who: "Tool", text: [data.name, data.state, data.summary].filter(Boolean).join(" · "), kind: "note" };
    case "question":
      return { who: "Question", text: [str(data.question), ...(data.options ?? []).map((/** @type {string} */ o) => `– ${o}`)].join("\n"), kind: "agent" };
    case "approval":
      return { who: "Permission", text: data.tool ? `${data.tool} ${data.input === undefined ? "" : JSON.stringify(data.input, null, 2)}` : "operator decides", kind: "note" };
    case "settled":
      return { who: "Answer", text: str(data.outcome), kind: "note" };
    case "turn_end":
      return data.reason === "done" ? undefined : { who: "Turn", text: [data.reason, data.code].filter(Boolean).join(" · "), kind: "note" };
    case "feedback":
      return { who: "Rated", text: str(data.rating), kind: "note" };
    default:
      return undefined;
  }
}

/** The dialog that shows a conversation. */
export class Transcript {
  /**
   * @param {(id: string) => HTMLElement} at
   * @param {(path: string) => Promise<any>} get calls the API
   * @param {(err: unknown) => void} failed
   */
  constructor(at, get, failed) {
    this.get = get;
    this.dialog = /** @type {HTMLDialogElement} */ (at("transcript-dialog"));
    this.list = at("transcript-list");
    this.name = at("transcript-of");
    this.state = at("transcript-state");
    this.more = /** @type {HTMLButtonElement} */ (at("transcript-more"));
    this.id = "";
    this.since = 0;
    /** @type {Said[]} */
    this.rest = []; // deltas of a block that continues on the next page
    this.more.addEventListener("click", () => this.load().catch(failed));
    this.dialog.addEventListener("close", () => {
      this.id = "";
      this.list.replaceChildren(); // no message stays on the page
    });
  }

  /** @param {string} id */
  async open(id) {
    this.id = id;
    this.since = 0;
    this.rest = [];
    this.name.textContent = id;
    this.list.replaceChildren();
    this.dialog.showModal();
    try {
      await this.load();
    } catch (err) {
      this.dialog.close();
      throw err;
    }
  }

  async load() {
    const id = this.id;
    this.more.disabled = true;
    this.state.textContent = "Loading…";
    try {
      const page = await this.get(`conversations/${encodeURIComponent(id)}/transcript?since=${this.since}`);
      const events = [...this.rest, ...page.events];
      this.rest = [];
      if (page.next_since !== null) {
        while (events.length && events[events.length - 1].event === "text" && events[events.length - 1].data.delta) this.rest.unshift(events.pop());
      }
      let began = performance.now();
      for (const entry of entriesOf(events)) {
        if (performance.now() - began > slice) {
          await new Promise((resolve) => setTimeout(resolve));
          began = performance.now();
        }
        if (this.id !== id) return;
        const li = document.createElement("li");
        li.className = entry.kind;
        const who = document.createElement("strong");
        who.textContent = entry.who;
        const text = document.createElement("p");
        text.textContent = entry.text;
        li.append(who, text);
        this.list.append(li);
      }
      this.since = page.next_since ?? this.since;
      this.more.hidden = page.next_since === null;
      this.state.textContent = this.more.hidden ? "End of the conversation." : "More events available.";
    } catch (err) {
      this.state.textContent = err instanceof Error ? err.message : "Something went wrong.";
      throw err;
    } finally {
      this.more.disabled = false;
    }
  }
}
