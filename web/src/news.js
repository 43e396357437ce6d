// @ts-check
// Reports news to the page as events and to screen readers as text. A replay reports
// nothing twice.
import { markdownPart } from "./part.js";
import { reason, say } from "./strings.js";

/** @typedef {import("../../clients/js/src/reduce.js").View} View */
/** @typedef {import("../../clients/js/src/reduce.js").RelayEvent} RelayEvent */

export class News {
  /**
   * @param {import("./announcer.js").Announcer} announcer
   * @param {(name: string, detail: any) => void} emit
   * @param {() => string} name the agent's
   * @param {Set<string>} told what has been reported, by this panel or the one before
   */
  constructor(announcer, emit, name, told) {
    this.announcer = announcer;
    this.emit = emit;
    this.name = name;
    this.told = told;
  }

  /** Resets the state for another conversation. */
  forget() {
    this.told.clear();
  }

  /**
   * Reports the changes of an event; returns whether an absent visitor missed something.
   * @param {View} now @param {View} before @param {RelayEvent} event
   */
  tell(now, before, event) {
    const turn = `${now.epoch}/${now.turns}`;
    if (now.busy && !before.busy && this.#first(`start ${turn}`)) {
      this.announcer.say(say("responding", { name: this.name() }));
      this.emit("turn-start", {});
    }
    const last = now.items.at(-1);
    switch (event.type) {
      case "turn_end":
        return this.#first(`end ${turn}`) && this.#ended(now, event);
      case "question":
      case "approval":
        if (!last || !this.#first(`ask ${last.key}`)) return false;
        if (event.type === "question") this.#read(last.text);
        else this.announcer.say(say(last.id === null ? "approvalWaits" : "approvalAsk", { tool: last.text }));
        this.emit(event.type, { id: last.id });
        return true;
      case "tool":
        if (last?.kind === "tool") this.emit("tool", { name: last.name, state: last.state });
        return false;
      case "problem":
        this.announcer.warn(last?.text ?? "");
        this.emit("error", { code: event.data.code, message: last?.text ?? "" });
        return false;
      case "stopping":
        if (event.data.on) this.announcer.say(say("stopping"));
        return false;
      case "notice":
        this.announcer.say(now.banner ?? "");
        this.emit("notice", { text: now.banner });
        return false;
      case "feedback":
        this.emit("feedback", event.data);
        return false;
      case "skipped":
        this.announcer.warn(reason({ code: "event_skipped", detail: "" }));
        return false;
      case "pending":
        if (event.data.state === "failed") {
          const why = event.data.code !== "unreachable" && reason(event.data);
          this.announcer.warn(why ? say("notSentWhy", { why }) : say("notSent"));
        }
        return false;
      default:
        return false;
    }
  }

  /** @param {View} now @param {RelayEvent} event */
  #ended(now, event) {
    const last = now.items.at(-1);
    if (last?.text === "stopped" && last.kind === "end") this.announcer.say(say("interrupted"));
    else if (last?.kind === "end") this.announcer.warn(say(last.text === "failed" ? "failed" : "interrupted"));
    const text = answer(now);
    if (text) {
      this.#read(text);
      this.emit("message", { role: "agent", text });
    }
    this.emit("turn-end", { reason: event.data.reason ?? "done" });
    return text !== "";
  }

  /** Announces an agent's text, without its markup if the parser can be loaded. @param {string} text */
  #read(text) {
    void markdownPart().then((m) => m.spoken(text), () => text).then((words) => this.announcer.say(words));
  }

  /** @param {string} what */
  #first(what) {
    if (this.told.has(what)) return false;
    this.told.add(what);
    return true;
  }
}

/**
 * Returns the agent's text of the turn that just ended: the text after the message that
 * started it, skipping messages that still wait for an answer.
 * @param {View} view
 */
function answer({ items, begun }) {
  let end = items.length;
  for (let waiting = begun; waiting > 0 && end > 0; end--) if (items[end - 1].kind === "user") waiting--;
  const turn = items.slice(0, end);
  const from = turn.findLastIndex((i) => i.kind === "user") + 1;
  return items.slice(from).filter((i) => i.kind === "agent").map((i) => i.text).join("\n\n");
}
