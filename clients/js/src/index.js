// @ts-check
// A client for AnyFrame Relay: one visitor's conversation with the agent, kept
// up to date across disconnects, reloads and restarts. The chat widget is built
// on it.
import { Client, Problem } from "./client.js";
import { Conversation } from "./conversation.js";
import { Storage } from "./storage.js";
import { Stream } from "./stream.js";

export { Problem };

/** @typedef {import("./client.js").Introduction} Introduction */
/** @typedef {import("./client.js").Limits} Limits */
/** @typedef {import("./client.js").Consent} Consent */
/** @typedef {import("./client.js").RefusalCode} RefusalCode */
/** @typedef {import("./more.js").Past} Past */
/** @typedef {import("./outbox.js").Attached} Attached */
/** @typedef {import("./outbox.js").Context} Context */
/** @typedef {import("./reduce.js").View} View */
/** @typedef {import("./reduce.js").Item} Item */
/** @typedef {import("./reduce.js").Pending} Pending */
/** @typedef {import("./reduce.js").Option} Option */
/** @typedef {import("./storage.js").StorageArea} StorageArea */
/** @typedef {import("./stream.js").StreamState} StreamState */

/**
 * A value to subscribe to, in the form of Svelte's stores and of React's
 * `useSyncExternalStore`.
 * @template T
 * @typedef {object} Store
 * @property {() => T} get the current value; the same object until it changes
 * @property {(listener: (value: T) => void) => () => void} subscribe calls the
 *   listener immediately and after each change, until the returned function is
 *   called; an error thrown by a listener is reported and does not affect the
 *   others
 */

/**
 * @typedef {object} RelayClientOptions
 * @property {string|URL} relay the relay's URL, including its base path
 * @property {string} [site] one of the relay's sites; the default site if omitted
 * @property {string} [token] an existing visitor token
 * @property {string|(() => string|Promise<string>)} [identity] a JWT from the
 *   website that identifies the visitor, or a function that fetches a fresh one
 * @property {StorageArea|null} [storage] stores the token and unsent turns: by
 *   default `localStorage` in a page and memory elsewhere; null selects memory
 * @property {typeof globalThis.fetch} [fetch] instead of the global one
 * @property {import("./conversation.js").Listening} [tabs] what `@anyframe-relay/client/tabs` exports: one connection for all tabs
 */

/**
 * A turn handed to the client.
 * @typedef {object} Turn
 * @property {string} key its key at the relay
 * @property {() => Promise<{reason: string, text: string}>} finished resolves
 *   with the reason of the end (`done`, `failed`, `interrupted`, `stopped`) and
 *   the agent's text, as Markdown; rejects with a Problem if the relay does not
 *   accept the turn
 * @property {() => Promise<void>} stop
 */

/**
 * @typedef {object} RelayClient
 * @property {Store<View>} messages the conversation; the first subscriber makes
 *   the client connect
 * @property {Store<StreamState>} connection
 * @property {Store<Introduction|null>} visitor limits, notice and consent, once the relay has sent them
 * @property {(text: string, attachments?: Attached[]) => Turn} send
 *   queues a turn; the client retries until the relay accepts it, and the agent receives it once
 * @property {(turn?: string) => Promise<void>} stop one turn, or all unfinished ones
 * @property {(turn: string) => void} retry sends a failed turn again, with its key
 * @property {(turn: string) => void} discard drops a turn that was not accepted
 * @property {(id: string, answer: {answer: string}|{decision: "approve"|"deny"}) => Promise<void>} respond
 *   answers a question or a request for approval
 * @property {(turn: string, rating: "up"|"down"|null, comment?: string) => Promise<void>} feedback
 * @property {(context: Record<string, unknown>|null|(() => Record<string, unknown>|null)) => void} setContext
 *   sets the data sent with each message; a function is called for each
 * @property {() => Promise<Introduction>} agree gives the consent that `visitor` describes
 * @property {() => Promise<Past[]>} conversations newest first
 * @property {(epoch: number) => Promise<View>} read reads a whole conversation; wakes no sandbox
 * @property {() => Promise<Blob>} export all data about the visitor, as JSON
 * @property {(epoch: number) => Promise<void>} erase deletes a conversation everywhere
 * @property {() => Promise<void>} newConversation ends the current one
 * @property {(identity: string|(() => string|Promise<string>)) => Promise<void>} identify
 * @property {(options?: {erase?: boolean}) => Promise<void>} logout removes the visitor from this device
 * @property {() => void} retryNow retries immediately
 * @property {() => void} close closes the client; the conversation stays at the relay
 */

/**
 * Creates a client. It connects with the first subscriber or the first turn,
 * and reconnects after every disconnect until it is closed.
 * @param {RelayClientOptions} options
 * @returns {RelayClient}
 */
export function createRelayClient({ relay, site, token, identity, storage, fetch, tabs = Stream }) {
  const base = new URL(String(relay).replace(/\/*$/, "/") + (site ? `s/${site}/` : ""), globalThis.location?.href).href;
  const kept = new Storage(base, storage);
  const client = new Client(base, kept, fetch);
  if (token) {
    kept.set("token", token);
    client.carrier = "bearer";
  }
  if (identity) client.identify(identity);

  /** @type {Store<View> & {tell: () => void}} */
  const messages = store(() => conversation.view);
  /** @type {Store<StreamState> & {tell: () => void}} */
  const connection = store(() => conversation.link);
  const visitor = store(() => client.introduction);
  const conversation = new Conversation(client, kept, { onView: messages.tell, onLink: connection.tell, onVisitor: visitor.tell }, {
    files: () => import("./attachments.js"),
    delivery: () => import("./deliver.js"),
    solver: () => import("./challenge.js"),
  }, tabs);
  const more = () => import("./more.js");
  /** @param {Exclude<keyof Awaited<ReturnType<typeof more>>, "finished"|"answerOf">} name @returns {any} */
  const later = (name) => async (/** @type {any[]} */ ...args) => /** @type {any} */ (await more())[name](conversation, ...args);
  const start = () => conversation.stream.started || conversation.start();

  return {
    messages: { ...messages, subscribe: (listener) => (start(), messages.subscribe(listener)) },
    connection,
    visitor,
    send(text, attachments) {
      start();
      const key = conversation.send(text, attachments);
      return { key, finished: async () => (await more()).finished(messages, key), stop: () => conversation.stop(key) };
    },
    stop: (turn) => (turn ? conversation.stop(turn) : later("stopAll")()),
    retry: (turn) => conversation.outbox.retry(turn),
    discard: (turn) => conversation.drop(turn),
    respond: later("respond"),
    feedback: later("feedback"),
    setContext: (context) => conversation.setContext(context),
    agree: later("agree"),
    conversations: later("conversations"),
    read: async (epoch) => (await import("./read.js")).read(conversation, epoch),
    export: later("download"),
    erase: later("erase"),
    newConversation: later("newConversation"),
    identify: (as) => (client.identify(as), later("meet")()),
    logout: later("logout"),
    retryNow: () => conversation.retryNow(),
    close: () => conversation.close(),
  };
}

/**
 * @template T
 * @param {() => T} get
 */
function store(get) {
  /** @type {Set<() => void>} one entry per subscription, even of the same listener */
  const all = new Set();
  return {
    get,
    tell: () => all.forEach((tell) => tell()),
    /** @param {(value: T) => void} listener */
    subscribe(listener) {
      const tell = () => {
        try {
          listener(get());
        } catch (err) {
          console.error(err); // the listener's error: the next one is called anyway
        }
      };
      all.add(tell);
      tell();
      return () => void all.delete(tell);
    },
  };
}
