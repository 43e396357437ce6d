// @ts-check
// English texts of the parts that only some visitors load; each part has its own.

export const cardWords = {
  answer: "Your answer",
  answerSend: "Answer",
  answered: "Answered: {answer}",
  settled: "Answered",
  answeredElsewhere: "Answered elsewhere",
  approvalOver: "The operator has decided.",
  approve: "Allow",
  deny: "Deny",
  approved: "Allowed",
  denied: "Denied",
  decided: "Decided",
  decidedElsewhere: "Decided elsewhere",
  details: "Details",
  showAll: "Show all",
  approvalCut: "Only the first {n} characters are shown. The rest would run, too.",
  approvalTruncated: "This request was too long and was shortened. A part of it can't be shown here.",
  approveUnseen: "Allow with unseen parts",
  toolRunning: "running",
  toolFailed: "failed",
  toolDone: "done",
};

export const fileWords = {
  remove: "Remove {name}",
  tooMany: "A message takes {n} attachments at most.",
  tooLarge: "{name} is larger than {n} MB.",
  wrongType: "{name} is of a kind that can't be sent here.",
  recode: "{name} is not UTF-8. Is it readable like this?",
  recodeLabel: "Encoding",
  recodeYes: "Attach as UTF-8",
  recodeNo: "Don't attach",
  recodeRefused: "{name} is not UTF-8 but probably {encoding}. Save it as UTF-8 and attach it again.",
};

export const troubleWords = {
  wrongOrigin: "This website ({origin}) is not on the list of sites that may use this chat. Its owner can add it to RELAY_ALLOWED_ORIGINS.",
  wrongHeaders: "A script of this website adds headers to its requests that this chat does not accept, as monitoring tools do. Its owner can exclude {relay} from that.",
  refused: "The chat refused this page.",
  fromFile: "This page was opened from a file or has no address of its own. The chat works on pages that come from a website.",
};

export const freshWords = {
  freshAsk: "Start a new conversation? This one ends for good.",
  freshYes: "Start new",
  cancel: "Keep this one",
};

export const consentWords = {
  consent: "Before you begin",
  agree: "Agree and send",
  notNow: "Not now",
};

export const rateWords = {
  comment: "What was good or wrong? (optional)",
  rateSend: "Send comment",
  thanks: "Thank you.",
};

export const menuWords = {
  earlier: "Earlier conversations",
  download: "Download my conversations",
  erase: "Delete this conversation",
  eraseAsk: "Delete this conversation? It can't be had back.",
  eraseYes: "Delete",
  erased: "The conversation is being deleted.",
  noEarlier: "There are no earlier conversations.",
  untitled: "Without words",
  back: "Back",
};
