// @ts-check
// Copying what the agent wrote.
import { say } from "./strings.js";

/**
 * Puts a text on the clipboard, and says so on the button and aloud. Where the page may
 * not, what is shown is selected instead: then it is one key press away.
 * @param {Element} button
 * @param {string} text
 * @param {Element} shown
 * @param {import("./announcer.js").Announcer} announcer
 */
export async function copy(button, text, shown, announcer) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    getSelection()?.selectAllChildren(shown);
    return;
  }
  button.textContent = say("copied");
  announcer.say(say("copied"));
  setTimeout(() => {
    button.textContent = say("copy");
  }, 2000);
}

/** Copies the block of code whose button was pressed. @param {Event} e @param {import("./announcer.js").Announcer} announcer */
export function copyCode(e, announcer) {
  const button = e.target instanceof HTMLElement ? e.target.closest("button[data-copy]") : null;
  const code = button?.closest(".code")?.querySelector("code");
  if (button && code) void copy(button, code.textContent ?? "", code, announcer);
}
