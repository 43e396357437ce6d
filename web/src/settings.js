// @ts-check
// The settings of an element.
import { parse, write } from "../../clients/js/src/native.js";

/** @type {Set<string>} unknown settings already reported */
const wondered = new Set();

/**
 * Reports unknown settings, each once: otherwise a typing mistake would go unnoticed.
 * @param {HTMLElement} el
 */
export function wonder(el) {
  const names = /** @type {any} */ (el.constructor).observedAttributes;
  for (const name of el.getAttributeNames()) {
    if (names.includes(name) || wondered.has(name) || /^(id|class|style|slot|hidden|dir|lang|part|tabindex|role|(aria|data)-.*)$/.test(name)) continue;
    wondered.add(name);
    console.warn(`relay-chat: unknown setting "${name}"`);
  }
}

/** Changes only the given settings. @param {HTMLElement} el @param {Record<string, any>} partial */
export function update(el, partial) {
  for (const [key, value] of Object.entries(partial)) {
    const name = key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
    if (value === null || value === false) el.removeAttribute(name);
    else el.setAttribute(name, value === true ? "" : typeof value === "object" ? write(value) : String(value));
  }
  wonder(el);
}

/**
 * Parses the starters: a list, JSON, or texts separated by bars.
 * @param {unknown} value
 * @returns {string[]}
 */
export function starters(value) {
  if (typeof value === "string" && value.trim().startsWith("[")) {
    try {
      value = parse(value);
    } catch {
      // Then it is a text that begins with a bracket.
    }
  }
  const list = Array.isArray(value) ? value : String(value ?? "").split("|");
  return list.map((s) => String(s).trim()).filter(Boolean).slice(0, 8);
}

/** Returns a CSS length, from a CSS length or a number of pixels; "" if it is invalid. @param {string} value */
export function length(value) {
  if (/^\d+(\.\d+)?$/.test(value)) return `${value}px`;
  return value && CSS.supports("width", value) ? value : "";
}
