// @ts-check
// The conversation in the form of assistant-ui's external store. The relay stores it, so
// a reload shows all messages and a streaming answer continues.
import { newKey } from "./native.js";
import { unfinished } from "./turns.js";

/** @typedef {import("./index.js").RelayClient} RelayClient */
/** @typedef {import("./index.js").View} View */
/** @typedef {import("./index.js").Item} Item */
/** @typedef {import("./index.js").Pending} Pending */

/**
 * The part of assistant-ui's tool call that is used here: a tool, a question, or a
 * request for approval.
 * @typedef {object} ToolCall
 * @property {"tool-call"} type
 * @property {string} toolCallId
 * @property {string} toolName
 * @property {{}} args
 * @property {string} argsText
 * @property {string} [result]
 * @property {boolean} [isError]
 * @property {{id: string, prompt?: string, display?: "decision"|"select"|"text", allowFreeform?: boolean, approved?: boolean, resolution?: "cancelled",
 *   options?: {id: string, kind: string, label: string, description: string}[]}} [approval]
 */

/**
 * The part of an assistant-ui message that is used here.
 * @typedef {object} Message
 * @property {string} id
 * @property {"user"|"assistant"} role
 * @property {({type: "text", text: string} | ToolCall)[]} content
 * @property {{id: string, type: string, name: string, contentType: string, status: {type: "complete"}, content: []}[]} [attachments]
 * @property {{type: "running"} | {type: "requires-action", reason: "tool-calls"} | {type: "complete", reason: "stop"} |
 *   {type: "incomplete", reason: "cancelled"} | {type: "incomplete", reason: "error", error: string}} [status]
 * @property {{submittedFeedback?: {type: "positive"|"negative"}, custom: {turn?: string, waits?: string}}} metadata
 *   turn: its key; waits: why the relay does not have it yet
 */

/**
 * The argument of assistant-ui's `useExternalStoreRuntime`.
 * @typedef {object} Adapter
 * @property {Message[]} messages
 * @property {(message: Message) => Message} convertMessage
 * @property {boolean} isRunning
 * @property {boolean} isLoading until the relay has sent the earlier messages
 * @property {(message: any) => Promise<void>} onNew
 * @property {() => Promise<void>} onCancel
 * @property {((parent: string|null) => Promise<void>) | undefined} onReload only while there is a failed turn: retries it
 * @property {(answer: {approvalId: string, approved: boolean, optionId?: string, text?: string}) => Promise<void>} onRespondToToolApproval
 * @property {{attachments?: {accept: string, add: (state: {file: File}) => Promise<any>, remove: () => Promise<void>, send: (attachment: any) => Promise<any>},
 *   feedback?: {submit: (feedback: {message: any, type: "positive"|"negative", comment?: string}) => void}}} adapters
 */

/**
 * Creates the store of a client. Call it once, outside of the components:
 * `useExternalStoreRuntime(useSyncExternalStore(store.subscribe, store.get))`.
 * @param {RelayClient} client
 * @returns {{subscribe: (changed: () => void) => () => void, get: () => Adapter}}
 */
export function assistantStore(client) {
  /** @type {Map<string, {of: unknown[], message: Message}>} the same object is not rendered again */
  let made = new Map();
  /** @type {unknown[]} */
  let from = [];
  /** @type {Adapter} */
  let adapter;
  const acts = actions(client);

  return {
    subscribe(changed) {
      const leave = [client.messages, client.connection, client.visitor].map((store) => store.subscribe(changed));
      return () => leave.forEach((f) => f());
    },
    get() {
      const now = [client.messages.get(), client.connection.get().state, client.visitor.get()];
      if (same(from, now)) return adapter;
      from = now;
      const view = client.messages.get();
      const before = made;
      made = new Map();
      for (const { id, of, make } of parts(view)) {
        const was = before.get(id);
        made.set(id, was && same(was.of, of) ? was : { of, message: make() });
      }
      const failed = view.pending.some((p) => p.state === "failed");
      const { limits, feedback } = client.visitor.get() ?? {};
      adapter = {
        ...acts,
        messages: [...made.values()].map((m) => m.message),
        isRunning: unfinished(view).length > 0,
        isLoading: !view.caughtUp || !(view.items.length || client.connection.get().state === "open"),
        onReload: failed ? acts.onReload : undefined,
        adapters: {
          ...(limits?.max_attachments && { attachments: { accept: (limits.attachment_types ?? []).join(",") || "*", ...files } }),
          ...(feedback && { feedback: acts.feedback }),
        },
      };
      return adapter;
    },
  };
}

/** @param {unknown[]} a @param {unknown[]} b */
function same(a, b) {
  return a.length === b.length && a.every((x, at) => x === b[at]);
}

/** The actions that assistant-ui calls. @param {RelayClient} client */
function actions(client) {
  return {
    /** @param {Message} message */
    convertMessage: (message) => message,
    /** @param {{content: any[], attachments?: any[]}} message */
    async onNew({ content, attachments = [] }) {
      const text = content.flatMap((p) => (p.type === "text" ? p.text : [])).join("\n");
      client.send(text, await Promise.all(attachments.map(attached)));
    },
    onCancel: () => client.stop(),
    /** @param {string|null} parent */
    async onReload(parent) {
      const failed = client.messages.get().pending.filter((p) => p.state === "failed");
      const turn = failed.find((p) => p.turn === parent) ?? failed.at(-1);
      if (turn) client.retry(turn.turn);
    },
    /** @type {Adapter["onRespondToToolApproval"]} */
    async onRespondToToolApproval({ approvalId, approved, optionId, text }) {
      const asked = client.messages.get().items.find((i) => i.id === approvalId);
      if (asked?.kind === "question") await client.respond(approvalId, { answer: text || optionId || "" });
      else await client.respond(approvalId, { decision: approved ? "approve" : "deny" });
    },
    feedback: {
      /** @param {{message: any, type: "positive"|"negative", comment?: string}} feedback */
      submit({ message, type, comment }) {
        const { turn } = message.metadata.custom;
        if (turn) void client.feedback(turn, type === "positive" ? "up" : "down", comment).catch(console.error);
      },
    },
  };
}

/** Files stay in the composer unchanged, and are sent with the message. */
const files = {
  /** @param {{file: File}} state */
  add: async ({ file }) => ({
    id: newKey(), type: kind(file.type), name: file.name, contentType: file.type, file,
    status: { type: /** @type {const} */ ("requires-action"), reason: /** @type {const} */ ("composer-send") },
  }),
  remove: async () => {},
  /** @param {any} attachment */
  send: async (attachment) => ({ ...attachment, status: { type: "complete" }, content: [] }),
};

/** @param {string} mime */
function kind(mime) {
  return mime.startsWith("image/") ? "image" : "document";
}

/** A file from the composer, also from another attachment adapter. @param {any} attachment */
async function attached({ name, contentType, file, content = [] }) {
  if (file) return { name, mime: file.type || "text/plain", data: /** @type {Blob} */ (file) };
  const [{ image, data = "", mimeType = contentType, text = "" } = /** @type {any} */ ({})] = content;
  if (text) return { name, mime: contentType ?? "text/plain", data: new Blob([text]) };
  const url = image ?? (/^(data|https?):/.test(data) ? data : `data:${mimeType};base64,${data}`);
  const blob = await (await fetch(url)).blob();
  return { name, mime: mimeType ?? blob.type, data: blob };
}

/**
 * The messages, each with its items: a visitor's message, or everything the agent wrote
 * and did until the next one.
 * @param {View} view
 * @returns {{id: string, of: unknown[], make: () => Message}[]}
 */
function parts(view) {
  const { items, pending, busy } = view;
  /** @type {ReturnType<typeof parts>} */
  const out = [];
  const last = items.findLastIndex((i) => i.kind === "user");
  for (let at = 0; at < items.length; ) {
    const asked = items[at].kind === "user" ? items[at] : undefined;
    const id = asked ? (asked.turn ?? asked.key) : items[at].key;
    if (asked) out.push({ id, of: [asked.text, asked.attachments], make: () => said(id, asked) });
    const from = at + (asked ? 1 : 0);
    let next = items.findIndex((i, n) => n >= from && i.kind === "user");
    if (next < 0) next = items.length;
    const group = items.slice(from, next);
    const runs = busy && at >= last;
    if (group.length || asked?.ended) out.push({ id: `answer-${id}`, of: [...group, asked?.ended, runs], make: () => answer(`answer-${id}`, asked, group, runs) });
    at = next;
  }
  for (const p of pending) {
    out.push({ id: p.turn, of: [p], make: () => said(p.turn, p, p.state === "failed" || p.state === "waiting" ? p.detail || p.code : undefined) });
    if (p.state === "failed" || p.state === "stopped") out.push({ id: `answer-${p.turn}`, of: [p], make: () => unsent(p) });
  }
  return out;
}

/**
 * @param {string} id
 * @param {{text: string, turn?: string|null, attachments?: {name: string, mime: string}[]}} what
 * @param {string} [waits]
 * @returns {Message}
 */
function said(id, { text, turn, attachments = [] }, waits) {
  return {
    id,
    role: "user",
    content: [{ type: "text", text }],
    attachments: attachments.map(({ name, mime }, at) => ({ id: `${id}-${at}`, type: kind(mime), name, contentType: mime, status: { type: "complete" }, content: [] })),
    metadata: { custom: { ...(turn && { turn }), ...(waits && { waits }) } },
  };
}

/** The reason why a turn that the relay did not accept has no answer. @param {Pending} p @returns {Message} */
function unsent({ turn, state, detail, code }) {
  return {
    id: `answer-${turn}`, role: "assistant", content: [], metadata: { custom: { turn } },
    status: state === "stopped" ? { type: "incomplete", reason: "cancelled" } : { type: "incomplete", reason: "error", error: detail || code },
  };
}

/**
 * @param {string} id
 * @param {Item|undefined} asked
 * @param {Item[]} group
 * @param {boolean} runs whether more items can follow
 * @returns {Message}
 */
function answer(id, asked, group, runs) {
  const rating = group.find((i) => i.rating)?.rating;
  const waits = group.some((i) => i.outcome === null && i.id && i.mine === undefined);
  /** @type {Message["status"]} */
  let status = { type: "complete", reason: "stop" };
  const problem = group.findLast((i) => i.kind === "problem");
  if (waits) status = { type: "requires-action", reason: "tool-calls" };
  else if (runs) status = { type: "running" };
  else if (asked?.ended === "stopped") status = { type: "incomplete", reason: "cancelled" };
  else if (asked?.ended && asked.ended !== "done") status = { type: "incomplete", reason: "error", error: "The agent stopped before it was done." };
  else if (problem) status = { type: "incomplete", reason: "error", error: problem.text || String(problem.code) };
  return {
    id,
    role: "assistant",
    content: group.flatMap((i) => content(i) ?? []),
    status,
    metadata: {
      ...(rating && { submittedFeedback: { type: rating === "up" ? /** @type {const} */ ("positive") : /** @type {const} */ ("negative") } }),
      custom: { ...(asked?.turn && { turn: asked.turn }) },
    },
  };
}

/** @param {Item} item @returns {Message["content"][number]|undefined} */
function content(item) {
  const { key, kind, text, id, outcome, mine, options = [] } = item;
  if (kind === "agent") return { type: "text", text };
  const call = { type: /** @type {const} */ ("tool-call"), toolCallId: id ?? key, args: {}, argsText: "" };
  const settled = outcome ?? mine;
  if (kind === "tool") {
    return { ...call, toolName: item.name ?? "", argsText: text, ...(item.state !== "running" && { result: item.state, isError: item.state === "failed" }) };
  }
  if (kind === "question") {
    return {
      ...call, toolName: "question", ...(settled && { result: settled }),
      approval: {
        id: id ?? key, prompt: text, display: options.length ? "select" : "text", allowFreeform: true,
        ...(options.length && { options: options.map(({ label, detail }) => ({ id: label, kind: "_answer", label, description: detail })) }),
        ...resolved(item),
      },
    };
  }
  if (kind === "approval") {
    return {
      ...call, toolName: text || "approval", args: /** @type {{}} */ (item.input ?? {}), argsText: JSON.stringify(item.input ?? {}), ...(settled && { result: settled }),
      ...(id && { approval: { id, display: /** @type {const} */ ("decision"), ...resolved(item) } }), // otherwise the operator decides
    };
  }
  return undefined; // the end of a turn is the message's status
}

/** How a prompt was settled. @param {Item} item @returns {{approved?: boolean, resolution?: "cancelled"}} */
function resolved({ outcome, mine }) {
  if (outcome === null && mine === undefined) return {};
  if (outcome === "denied" || mine === "deny") return { approved: false };
  return outcome === "stopped" ? { resolution: "cancelled" } : { approved: true };
}
