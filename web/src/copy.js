// @ts-check
// Copies the agent's text.
import { say } from "./strings.js";

/**
 * Copies a text to the clipboard, and confirms it on the button and to screen readers. If
 * the page may not do that, the shown text is selected instead, so that one key press
 * copies it.
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

/** Copies the code block of the pressed button. @param {Event} e @param {import("./announcer.js").Announcer} announcer */
export function copyCode(e, announcer) {
  const button = e.target instanceof HTMLElement ? e.target.closest("button[data-copy]") : null;
  const code = button?.closest(".code")?.querySelector("code");
  if (button && code) void copy(button, code.textContent ?? "", code, announcer);
}
