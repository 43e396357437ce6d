// DOM helpers of the console: find and create elements, set the status line, and ask for
// confirmation.

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @returns {T}
 */
export const at = (id) => /** @type {T} */ (document.getElementById(id));

/** @param {string} text @param {boolean} [alert] */
export function say(text, alert = false) {
  at("state").textContent = text;
  at("state").classList.toggle("alert", alert);
}

/**
 * Makes an element.
 * @param {string} tag @param {Record<string, string>} [attrs] @param {...(Node|string)} children
 */
export function make(tag, attrs = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

/** @param {string} question @param {string} yes @returns {Promise<boolean>} */
export function sure(question, yes) {
  const dialog = /** @type {HTMLDialogElement} */ (at("confirm-dialog"));
  at("confirm-text").textContent = question;
  at("confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

const times = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
/** @param {string} t */
export const when = (t) => times.format(new Date(t));
