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
  approvalCut: "Only the first {n} characters are shown. The rest runs too if you allow it.",
  approvalTruncated: "This request was too long and was shortened. Part of it can't be shown.",
  approveUnseen: "Allow including hidden parts",
  toolRunning: "running",
  toolFailed: "failed",
  toolDone: "done",
};

export const fileWords = {
  remove: "Remove {name}",
  tooMany: "You can attach at most {n} files.",
  tooLarge: "{name} is larger than {n} MB.",
  wrongType: "{name} is not a supported file type.",
  recode: "{name} is not UTF-8. Is this text readable?",
  recodeLabel: "Encoding",
  recodeYes: "Attach as UTF-8",
  recodeNo: "Don't attach",
  recodeRefused: "{name} is probably {encoding}, not UTF-8. Save it as UTF-8 and attach it again.",
};

export const troubleWords = {
  wrongOrigin: "This website ({origin}) is not allowed to use this chat. Its owner can add it to RELAY_ALLOWED_ORIGINS.",
  wrongHeaders: "A script on this website, such as a monitoring tool, adds request headers that this chat does not accept. The website's owner can exclude {relay}.",
  refused: "This page is not allowed to use the chat.",
  fromFile: "This page was opened from a file or has no web address. Open it from a website to use the chat.",
};

export const freshWords = {
  freshAsk: "Start a new conversation? This ends the current one permanently.",
  freshYes: "Start new",
  cancel: "Keep this one",
};

export const consentWords = {
  consent: "Before you begin",
  agree: "Agree and send",
  notNow: "Not now",
};

export const rateWords = {
  comment: "What was good or bad? (optional)",
  rateSend: "Send comment",
  thanks: "Thank you.",
};

export const menuWords = {
  earlier: "Earlier conversations",
  download: "Download my conversations",
  erase: "Delete this conversation",
  eraseAsk: "Delete this conversation? This can't be undone.",
  eraseYes: "Delete",
  erased: "The conversation is being deleted.",
  noEarlier: "There are no earlier conversations.",
  untitled: "Untitled",
  back: "Back",
};
