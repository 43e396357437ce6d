// @ts-check
// English for the parts that only some visitors load, each with its own words.

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
  toolRunning: "running",
  toolFailed: "failed",
  toolDone: "done",
};

export const fileWords = {
  remove: "Remove {name}",
  tooMany: "A message takes {n} attachments at most.",
  tooLarge: "{name} is larger than {n} MB.",
  wrongType: "{name} is of a kind that can't be sent here.",
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
