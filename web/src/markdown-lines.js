// @ts-check
// The syntax of a line of Markdown: CommonMark 0.31 for the markers at its start, GFM for
// table rows.

import { opensMath } from "./markdown-math.js";

/** Deeper containers than this are treated as text. */
export const maxDepth = 12;
const maxColumns = 50;

const fenceLine = /^ {0,3}(`{3,}|~{3,})(.*)$/;
export const itemLine = /^( {0,3})([-*+]|\d{1,9}[.)])( +|$)/;
export const headingLine = /^ {0,3}(#{1,6})(?=[ \t]|$)/;
export const quoteLine = /^ {0,3}>/;
const delimiterLine = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

/** @param {string} line */
export function blank(line) {
  return line.trim() === "";
}

/** @param {string} line */
export function indent(line) {
  let n = 0;
  while (line.charCodeAt(n) === 32) n++;
  return n;
}

/** Replaces leading tabs of a line by spaces. @param {string} line */
export function untab(line) {
  if (!line.includes("\t")) return line;
  const head = /^(?: {0,3}(?:[-*+>]|\d{1,9}[.)]))?[ \t]*/.exec(line)?.[0] ?? "";
  let out = "";
  for (const c of head) out += c === "\t" ? " ".repeat(4 - (out.length % 4)) : c;
  return out + line.slice(head.length);
}

/** @param {string} line */
export function isRule(line) {
  if (indent(line) > 3) return false;
  let ch = "";
  let n = 0;
  for (const c of line) {
    if (c === " " || c === "\t") continue;
    if (!ch && "*-_".includes(c)) ch = c;
    if (c !== ch) return false;
    n++;
  }
  return n > 2;
}

/** @param {string} line */
export function fence(line) {
  const m = fenceLine.exec(line);
  return m && !(m[1][0] === "`" && m[2].includes("`")) ? m : null;
}

/**
 * Reports whether a line ends the paragraph before it.
 * @param {string} line
 * @param {number} depth
 */
export function interrupts(line, depth) {
  if (indent(line) > 3) return false;
  if (headingLine.test(line) || isRule(line) || fence(line) || opensMath(line)) return true;
  if (depth >= maxDepth) return false;
  if (quoteLine.test(line)) return true;
  const m = itemLine.exec(line);
  return !!m && !blank(line.slice(m[0].length)) && (m[2].length === 1 || /^1[.)]$/.test(m[2]));
}

/**
 * Splits a table row at unescaped bars.
 * @param {string} line
 */
export function cells(line) {
  const s = line.trim();
  const out = [];
  let from = s.startsWith("|") ? 1 : 0;
  for (let i = from; i < s.length && out.length < maxColumns; i++) {
    if (s[i] === "\\") i++;
    else if (s[i] === "|") {
      out.push(s.slice(from, i));
      from = i + 1;
    }
  }
  if (from < s.length && out.length < maxColumns) out.push(s.slice(from));
  return out.map((c) => c.trim().replace(/\\\|/g, "|"));
}

/**
 * @param {string[]} lines
 * @param {number} i
 */
export function isTable(lines, i) {
  const next = lines[i + 1];
  if (next === undefined || !next.includes("-") || !(next.includes("|") || lines[i].includes("|"))) return false;
  return delimiterLine.test(next) && lines[i].includes("|") && cells(lines[i]).length === cells(next).length;
}
