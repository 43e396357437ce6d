// @ts-check
// A ChatTransport of the AI SDK: `useChat` on top of a client of the relay. The relay
// stores the conversation, so only the last message is sent, and an answer interrupted by
// a reload or a disconnect continues.
import { track, unfinished } from "./turns.js";

/** @typedef {import("./index.js").RelayClient} RelayClient */
/** @typedef {import("./index.js").View} View */

/**
 * The part of the AI SDK's UIMessageChunk that is used here.
 * @typedef {{type: "start", messageId?: string} | {type: "text-start"|"text-end", id: string} | {type: "text-delta", id: string, delta: string} |
 *   {type: "finish"} | {type: "abort"} | {type: "error", errorText: string}} Chunk
 */

/**
 * The part of an AI SDK message that is used here.
 * @typedef {{id: string, role: "system"|"user"|"assistant", parts: {type: string, text?: string, url?: string, mediaType?: string, filename?: string}[]}} Message
 */

/** Connects `useChat({ transport })` to the relay. */
export class RelayChatTransport {
  /** @param {RelayClient} client */
  constructor(client) {
    this.client = client;
  }

  /**
   * Sends the last message, and streams the answer.
   * @param {{messages: any[], abortSignal?: AbortSignal}} options
   * @returns {Promise<ReadableStream<any>>}
   */
  async sendMessages({ messages, abortSignal }) {
    const { parts = [] } = /** @type {Message} */ (messages.at(-1)) ?? {};
    const text = parts.flatMap((p) => (p.type === "text" ? (p.text ?? "") : [])).join("\n");
    const files = await Promise.all(parts.filter((p) => p.type === "file").map(file));
    const turn = this.client.send(text, files);
    abortSignal?.addEventListener("abort", () => void turn.stop().catch(() => {}), { once: true });
    return this.#answer(turn.key);
  }

  /**
   * Continues with the current answer, if there is one.
   * @returns {Promise<ReadableStream<any>|null>}
   */
  async reconnectToStream() {
    const view = await new Promise((/** @type {(view: View) => void} */ done) => {
      let known = false;
      /** @type {(() => void)|undefined} */
      let leave;
      leave = this.client.messages.subscribe((v) => {
        if (known || !v.caughtUp || !(v.items.length || this.client.connection.get().state === "open")) return;
        known = true;
        done(v);
        leave?.();
      });
      if (known) leave();
    });
    const turn = unfinished(view).at(-1);
    return turn ? this.#answer(turn) : null;
  }

  /** The answer to a turn as the AI SDK's chunks. @param {string} turn @returns {ReadableStream<Chunk>} */
  #answer(turn) {
    const { client } = this;
    /** @type {() => void} */
    let leave = () => {};
    return new ReadableStream({
      start(out) {
        let over = false;
        let open = -1;
        /** @type {string[]} the part of each text already passed on */
        const told = [];
        const shut = () => {
          if (open >= 0) out.enqueue({ type: "text-end", id: `${turn}-${open}` });
          open = -1;
        };
        /** @param {Chunk} last */
        const end = (last) => {
          if (over) return;
          over = true;
          shut();
          out.enqueue(last);
          out.close();
          queueMicrotask(() => leave());
        };
        const where = track(turn);
        out.enqueue({ type: "start", messageId: `answer-${turn}` });
        leave = client.messages.subscribe((view) => {
          if (over) return;
          const { item, waits, gone } = where(view);
          if (gone || waits?.state === "stopped") return end({ type: "abort" });
          if (waits?.state === "failed") return end({ type: "error", errorText: waits.detail || waits.code });
          if (!item) return;
          const from = view.items.indexOf(item);
          const next = view.items.findIndex((i, at) => at > from && i.kind === "user");
          const texts = view.items.slice(from, next < 0 ? undefined : next).filter((i) => i.kind === "agent");
          texts.forEach(({ text }, at) => {
            const had = told[at] ?? "";
            // A text only grows; corrections by a later block show after a reload.
            if (!text.startsWith(had) || text === had) return;
            if (open !== at) {
              shut();
              open = at;
              out.enqueue({ type: "text-start", id: `${turn}-${at}` });
            }
            out.enqueue({ type: "text-delta", id: `${turn}-${at}`, delta: text.slice(had.length) });
            told[at] = text;
          });
          const { ended } = item;
          if (ended === "stopped") end({ type: "abort" });
          else if (ended === "failed") end({ type: "error", errorText: "The agent stopped before it was done." });
          else if (ended) end({ type: "finish" });
        });
      },
      cancel() {
        leave();
      },
    });
  }
}

/**
 * Accepts a file in the AI SDK's form, a data URL.
 * @param {Message["parts"][number]} part
 */
async function file({ url = "", mediaType = "text/plain", filename = "file" }) {
  return { name: filename, mime: mediaType, data: await (await fetch(url)).blob() };
}

/**
 * The conversation as the AI SDK's messages, for `useChat({ messages })`.
 * @param {View} view
 * @returns {{id: string, role: "user"|"assistant", parts: {type: "text", text: string}[]}[]}
 */
export function toMessages({ items }) {
  /** @type {ReturnType<typeof toMessages>} */
  const out = [];
  for (const { kind, text, turn, key } of items) {
    const part = { type: /** @type {const} */ ("text"), text };
    if (kind === "user") out.push({ id: turn ?? key, role: "user", parts: [part] });
    else if (kind === "agent" && out.at(-1)?.role === "assistant") out.at(-1)?.parts.push(part);
    else if (kind === "agent") out.push({ id: `answer-${out.at(-1)?.id ?? key}`, role: "assistant", parts: [part] });
  }
  return out;
}
