// @ts-check
// The agent's text, which comes in pieces, in whole blocks, or as both.

import { add, close, goneOn } from "./items.js";

/** @typedef {import("./view.js").View} View */

/**
 * Text comes in pieces, in whole blocks, or as both: then the block takes the place of the
 * last pieces that say the same. Before them may be those of an answer that was cut off.
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
 * A block equals its pieces; the pieces may have lost their beginning when
 * they came from before this stream. Both are one text however its letters are
 * composed and its lines end, and whatever a cut did to a character.
 * @param {string} pieces @param {string} block
 */
function same(pieces, block) {
  if (pieces === block) return true;
  const [a, b] = [pieces, block].map((s) => s.replace(/\r\n?/g, "\n").normalize("NFC"));
  return b.trim() === a.trim() || mended(a, b) || (a.length > 16 && (b.endsWith(a) || b.startsWith(a)));
}

/** Ways in which pieces may fit a block that are followed at once. */
const maxWays = 64;

/**
 * Reports whether pieces are a block in which characters were cut into pieces
 * and so came as U+FFFD, up to one for each of the four bytes that they have.
 * @param {string} pieces @param {string} block
 */
function mended(pieces, block) {
  if (!pieces.includes("\ufffd")) return false;
  const text = block.trim();
  let ways = [0]; // places in the block that the pieces so far may end at
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
