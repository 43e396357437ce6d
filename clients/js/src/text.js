// @ts-check
// The agent's text, which arrives as deltas, as complete blocks, or as both.

import { add, close, goneOn } from "./items.js";

/** @typedef {import("./view.js").View} View */

/**
 * Text arrives as deltas, as complete blocks, or as both. A block then replaces the last
 * deltas with the same text. Deltas of an answer that was cut off may precede them.
 * @param {View} view
 * @param {any} data
 * @returns {View}
 */
export function text(view, data) {
  const piece = String(data.text ?? "");
  if (data.delta) {
    const at = view.items.findLastIndex((i) => i.open);
    if (at >= 0) return { ...view, items: view.items.with(at, { ...view.items[at], text: view.items[at].text + piece }) };
    return piece ? add(goneOn(view), { kind: "agent", text: piece, open: true }) : view;
  }
  const { items } = view;
  const since = items.findLastIndex((i) => i.kind === "agent" && i.open === undefined) + 1;
  const pieces = items.flatMap((i, at) => (at >= since && i.kind === "agent" ? [at] : []));
  const from = pieces.findIndex((_, n) => same(pieces.slice(n).map((at) => items[at].text).join(""), piece));
  if (from < 0) return piece.trim() ? add(goneOn(close(view)), { kind: "agent", text: piece, open: undefined }) : view;
  const ours = pieces.slice(from);
  return { ...view, items: items.map((i, at) => (ours.includes(at) ? { ...i, text: ours[1] ? i.text : piece, open: undefined } : i)) };
}

/**
 * A block equals its deltas; the deltas may lack their beginning if they were sent before
 * this stream. Text is compared regardless of Unicode composition, line endings, and
 * characters damaged by a split.
 * @param {string} pieces @param {string} block
 */
function same(pieces, block) {
  if (pieces === block) return true;
  const [a, b] = [pieces, block].map((s) => s.replace(/\r\n?/g, "\n").normalize("NFC"));
  return b.trim() === a.trim() || mended(a, b) || (a.length > 16 && (b.endsWith(a) || b.startsWith(a)));
}

/** Maximum number of concurrent matches of deltas with a block. */
const maxWays = 64;

/**
 * Reports whether the deltas are a block with some characters split into bytes, so that
 * each arrived as up to four U+FFFD, one per byte.
 * @param {string} pieces @param {string} block
 */
function mended(pieces, block) {
  if (!pieces.includes("\ufffd")) return false;
  const text = block.trim();
  let ways = [0]; // positions in the block where the deltas so far may end
  for (const part of pieces.trim().split(/(\ufffd+)/)) {
    if (part[0] === "\ufffd") {
      const far = Math.min(2 * part.length, maxWays);
      ways = [...new Set(ways.flatMap((at) => Array.from({ length: far }, (_, n) => at + n + 1)))].slice(0, maxWays);
    } else {
      ways = ways.filter((at) => text.startsWith(part, at)).map((at) => at + part.length);
    }
  }
  return ways.includes(text.length);
}
