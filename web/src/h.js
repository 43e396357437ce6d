// @ts-check
// Elements without markup: the page may forbid innerHTML, and text from others must never
// be parsed as tags.
import { doc } from "../../clients/js/src/doc.js";

/**
 * Creates an element. Attributes that are null or false are omitted; names that begin
 * with "on" are listeners.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [attrs]
 * @param {...(Node|string|null)} kids
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, attrs = {}, ...kids) {
  const el = doc.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else el.setAttribute(name, value === true ? "" : value);
  }
  for (const kid of kids) if (kid !== null) el.append(kid);
  return el;
}

/** Paths on a 24 by 24 grid, which the loader's style sheet draws as lines. */
export const shapes = {
  close: "M6 9l6 6 6-6",
  attach: "M20 11l-9 9a5 5 0 0 1-7-7l9-9a3.5 3.5 0 0 1 5 5l-9 9a2 2 0 0 1-3-3l8-8",
  stop: "M7 7h10v10H7z",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  send: "M12 19V5M5.5 11.5L12 5l6.5 6.5",
  fresh: "M12 20h8M16.5 4.5a2.1 2.1 0 0 1 3 3L8 19l-4 1 1-4z",
  up: "M7 10v10H4V10zm0 0 4-7c2 0 2.5 1.5 2 3l-.8 3H18a2 2 0 0 1 2 2.4l-1.3 6.6a2 2 0 0 1-2 2H7",
  poor: "M7 14V4H4v10zm0 0 4 7c2 0 2.5-1.5 2-3l-.8-3H18a2 2 0 0 0 2-2.4L18.7 6a2 2 0 0 0-2-2H7",
  down: "M12 5v14M5.5 12.5L12 19l6.5-6.5",
};

/** @param {string} shape the name of a shape, or a path */
export function icon(shape) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = doc.createElementNS(ns, "svg");
  const path = doc.createElementNS(ns, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", /** @type {Record<string, string>} */ (shapes)[shape] ?? shape);
  svg.append(path);
  return svg;
}
