// @ts-check
// Every word the widget says by itself.

export const en = {
  title: "Chat",
  greeting: "How can I help?",
  open: "Open chat",
  close: "Close chat",
  log: "Conversation",
  composer: "Message",
  placeholder: "Write a message…",
  send: "Send",
  you: "You",
  agent: "Agent",
  fresh: "New conversation",
  freshAsk: "Start a new conversation? This one ends for good.",
  freshYes: "Start new",
  cancel: "Keep this one",
  starters: "Suggestions",
  jump: "Jump to latest",
  copy: "Copy",
  copied: "Copied",
  table: "Table",
  waking: "Waking the agent, usually under a minute",
  working: "Working",
  responding: "{name} is responding",
  sending: "Sending…",
  waitBooting: "The agent is still waking up. Sending again in {s} s.",
  waitRate: "A little fast. Sending again in {s} s.",
  waitOther: "The agent can't be reached right now. Sending again in {s} s.",
  notSent: "Not sent.",
  notSentWhy: "Not sent: {why}",
  retry: "Retry",
  retryNow: "Retry now",
  edit: "Edit",
  discard: "Discard",
  reconnecting: "Reconnecting…",
  offline: "You are offline. The chat goes on when you are back.",
  down: "The chat can't be reached. Next try in {s} s.",
  wrongOrigin: "This website ({origin}) is not on the list of sites that may use this chat. Its owner can add it to RELAY_ALLOWED_ORIGINS.",
  refused: "The chat refused this page.",
  loadFailed: "The chat could not be loaded.",
  failed: "The agent stopped before it was done.",
  interrupted: "Stopped.",
  sessionFailed: "The agent could not be started.",
  again: "Try again",
  answer: "Your answer",
  answerSend: "Answer",
  answered: "Answered: {answer}",
  settled: "Answered",
  answeredElsewhere: "Answered elsewhere",
  approvalWaits: "The agent waits for its operator to allow the next step.",
  approvalOver: "The operator has decided.",
  approvalAsk: "The agent asks to use {tool}",
  approve: "Allow",
  deny: "Deny",
  approved: "Allowed",
  denied: "Denied",
  decided: "Decided",
  decidedElsewhere: "Decided elsewhere",
  details: "Details",
  toolRunning: "running",
  toolFailed: "failed",
  toolDone: "done",
  tooLong: "This message is too long by {n} bytes.",
  unread: "{title}, {n} unread",
  downWhy: "{why} Next try in {s} s.",
  ok: "OK",
  actionFailed: "That did not work: {why}",
};

/** @typedef {keyof typeof en} Word */

/**
 * Says a thing, with its blanks filled in.
 * @param {Word} word
 * @param {Record<string, string|number>} [blanks]
 */
export function say(word, blanks = {}) {
  return en[word].replace(/\{(\w+)\}/g, (_, name) => String(blanks[name] ?? ""));
}
