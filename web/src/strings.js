// @ts-check
// The widget's own texts. English is built in; the other languages are packs in lang/,
// loaded when needed.
import { part } from "./part.js";

export const en = {
  title: "Chat",
  greeting: "How can I help?",
  close: "Close chat",
  log: "Conversation",
  composer: "Message",
  placeholder: "Write a message…",
  send: "Send",
  you: "You",
  agent: "Agent",
  fresh: "New conversation",
  starters: "Suggestions",
  jump: "Jump to latest",
  copy: "Copy",
  copyMessage: "Copy message",
  copied: "Copied",
  table: "Table",
  waking: "Starting the agent, usually under a minute",
  responding: "{name} is responding",
  sending: "Sending…",
  waitBooting: "The agent is still starting. Retrying in {s} s.",
  waitRate: "Sending too fast. Retrying in {s} s.",
  waitOther: "The agent can't be reached right now. Retrying in {s} s.",
  notSent: "Not sent.",
  notSentWhy: "Not sent: {why}",
  retry: "Retry",
  retryNow: "Retry now",
  edit: "Edit",
  discard: "Discard",
  connecting: "Connecting…",
  offline: "You are offline. The chat reconnects when you are back online.",
  down: "The chat can't be reached. Retrying in {s} s.",
  downWhy: "{why} Retrying in {s} s.",
  failed: "The agent stopped before it was done.",
  interrupted: "Stopped.",
  sessionFailed: "The agent could not be started.",
  again: "Try again",
  approvalWaits: "Waiting for the operator to approve the next step.",
  approvalAsk: "The agent wants to use {tool}",
  tooLong: "This message is {n} bytes too long.",
  unread: "{title}, {n} unread",
  ok: "OK",
  actionFailed: "Something went wrong: {why}",
  attach: "Attach files",
  stop: "Stop",
  stopping: "Stopping…",
  unsent: "Stopped before it was sent.",
  later: "{why} Available again: {when}",
  more: "More",
  notice: "You are chatting with an AI. It can make mistakes.",
  privacy: "Privacy",
  good: "Good answer",
  poor: "Poor answer",
  filesLost: "The attachments were lost. Attach them again.",
};

/** @typedef {typeof en & typeof import("./words.js").cardWords & typeof import("./words.js").fileWords & typeof import("./words.js").troubleWords & typeof import("./words.js").freshWords & typeof import("./words.js").consentWords & typeof import("./words.js").rateWords & typeof import("./words.js").menuWords} Words */
/** @typedef {keyof Words} Word */
/** @typedef {string|Partial<Record<Intl.LDMLPluralRule, string>>} Phrase one text, or one for each plural form of {n} */

/**
 * Another language. Texts missing from a pack are shown in English.
 * @typedef {object} Pack
 * @property {Record<Word, Phrase>} words
 * @property {Record<string, string>} codes the texts of problems, by code
 * @property {true} [rtl] whether it is written from right to left
 */

const packs = ["ar", "de", "es", "fr", "ja", "pt", "zh"];

/** @type {Pack} */
const english = {
  words: /** @type {Words} */ (en),
  // Codes without a text from the relay, in the widget's own English.
  codes: {
    unreachable: "The chat can't be reached.",
    http_413: "The message with its attachments is too large for this website's server. Remove an attachment or send a smaller one.",
    upload_failed: "The connection was lost during the upload. If this happens again, attach smaller files.",
    event_skipped: "Part of the conversation is too large to display.",
  },
};
let pack = english;
/** The page's own texts. @type {Record<string, Phrase>} */
let own = {};
let ownSource = "";
/** The current language tag, also for times and numbers. */
export let locale = "en";

/**
 * Loads the first available language of a list, and the page's own texts; returns whether
 * that changes the texts. If a pack cannot be loaded, the texts stay the same.
 * @param {(string|null|undefined)[]} tags in order of preference
 * @param {string} [words] JSON: texts by key, or by language and key
 */
export async function learn(tags, words = "") {
  const before = locale;
  await choose(tags);
  if (before === locale && words === ownSource) return false;
  ownSource = words;
  own = ownWords(words);
  return true;
}

/** @param {(string|null|undefined)[]} tags */
async function choose(tags) {
  for (const tag of tags) {
    try {
      const found = new Intl.Locale((tag ?? "").replace("_", "-"));
      if (found.language !== "en" && !packs.includes(found.language)) continue;
      const now = found.toString();
      if (now === locale) return;
      pack = found.language === "en" ? english : (await part(found.language)).default;
      locale = now;
      return;
    } catch {
      // No such language, or its pack cannot be loaded: try the next.
    }
  }
}

/** The page's texts for the current language. @param {string} json @returns {Record<string, Phrase>} */
function ownWords(json) {
  if (!json) return {};
  try {
    const all = JSON.parse(json);
    return { ...all, ...all[locale.split("-")[0]], ...all[locale] };
  } catch (err) {
    console.warn(`relay-chat: "strings" is not JSON: ${err}`);
    return {};
  }
}

/** Adds the English texts of a loaded part. @param {Partial<Words>} words */
export function teach(words) {
  Object.assign(en, words);
}

/** Whether the language is written from right to left. */
export function isRTL() {
  return !!pack.rtl;
}

/**
 * Returns a text with its placeholders filled in.
 * @param {Word} word
 * @param {Record<string, string|number>} [blanks]
 */
export function say(word, blanks = {}) {
  const phrase = own[word] ?? pack.words[word];
  const text = typeof phrase === "string" ? phrase : (phrase[new Intl.PluralRules(locale).select(Number(blanks.n))] ?? phrase.other ?? "");
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof blanks[name] === "number" ? blanks[name].toLocaleString(locale) : (blanks[name] ?? "")));
}

/** Returns the text for a problem of the relay. @param {{code: string, detail: string}} problem */
export function reason({ code, detail }) {
  return /** @type {string|undefined} */ (own[code]) ?? pack.codes[code] ?? detail;
}
