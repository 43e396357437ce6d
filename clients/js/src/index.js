// @ts-check
// A client of AnyFrame Relay: one visitor's conversation with the agent, kept
// up to date over cuts, reloads and restarts. What the chat widget is built on.
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
 * Something that changes, to subscribe to, as Svelte's stores are and React's
 * `useSyncExternalStore` takes them.
 * @template T
 * @typedef {object} Store
 * @property {() => T} get what it is now; the same object until it changes
 * @property {(listener: (value: T) => void) => () => void} subscribe calls at
 *   once and after each change, until what it returns is called; what a
 *   listener throws is reported and harms no other
 */

/**
 * @typedef {object} RelayClientOptions
 * @property {string|URL} relay where the relay is, its base path included
 * @property {string} [site] one of the relay's sites; without it the default one
 * @property {string} [token] a visitor's token, if there is one already
 * @property {string|(() => string|Promise<string>)} [identity] a JWT of the
 *   website's that says who the visitor is, or what fetches a fresh one
 * @property {StorageArea|null} [storage] where token and unsent turns are kept:
 *   unless told, `localStorage` in a page and memory elsewhere; null is memory
 * @property {typeof globalThis.fetch} [fetch] instead of the global one
 * @property {import("./conversation.js").Listening} [tabs] what `@anyframe-relay/client/tabs` exports: one connection for all tabs
 */

/**
 * A turn that was handed over.
 * @typedef {object} Turn
 * @property {string} key what the relay calls it
 * @property {() => Promise<{reason: string, text: string}>} finished how it
 *   ended (`done`, `failed`, `interrupted`, `stopped`) and what the agent said,
 *   as Markdown; rejects with a Problem if the relay does not take it
 * @property {() => Promise<void>} stop
 */

/**
 * @typedef {object} RelayClient
 * @property {Store<View>} messages the conversation; the first subscriber has
 *   the client connect
 * @property {Store<StreamState>} connection
 * @property {Store<Introduction|null>} visitor limits, notice and consent, once the relay has told them
 * @property {(text: string, attachments?: Attached[]) => Turn} send
 *   queues a turn; it is sent again until the relay has it, and the agent gets it once
 * @property {(turn?: string) => Promise<void>} stop a turn, or all that is not over
 * @property {(turn: string) => void} retry sends a failed turn again, with its key
 * @property {(turn: string) => void} discard forgets a turn that was not accepted
 * @property {(id: string, answer: {answer: string}|{decision: "approve"|"deny"}) => Promise<void>} respond
 *   to a question or to a request for approval
 * @property {(turn: string, rating: "up"|"down"|null, comment?: string) => Promise<void>} feedback
 * @property {(context: Record<string, unknown>|null|(() => Record<string, unknown>|null)) => void} setContext
 *   what goes with each message; a function is asked at each
 * @property {() => Promise<Introduction>} agree gives the consent that `visitor` tells
 * @property {() => Promise<Past[]>} conversations newest first
 * @property {(epoch: number) => Promise<View>} read a conversation to its end; wakes nothing
 * @property {() => Promise<Blob>} export all that is known of the visitor, as JSON
 * @property {(epoch: number) => Promise<void>} erase deletes a conversation everywhere
 * @property {() => Promise<void>} newConversation ends the present one
 * @property {(identity: string|(() => string|Promise<string>)) => Promise<void>} identify
 * @property {(options?: {erase?: boolean}) => Promise<void>} logout forgets the visitor
 * @property {() => void} retryNow ends all waiting
 * @property {() => void} close ends everything; the conversation stays at the relay
 */

/**
 * Makes a client. It connects when the first subscriber comes or the first turn
 * is sent, and comes back after every cut until it is closed.
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
    identify: later("identify"),
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
  /** @type {Set<() => void>} one entry for each subscription, also of the same listener */
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
