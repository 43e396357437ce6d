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
