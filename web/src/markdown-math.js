// @ts-check
// Mathematics is not drawn. Its source stays as it was written, so that no
// backslash, star or underscore of it is taken for Markdown.

/** Longest formula within a line of text, in characters. */
export const maxFormula = 2000;

// An escaped backslash in front of the closing mark belongs to the formula.
const formulas = /\\\((?:[^\\]|\\[^)]){1,2000}?\\\)|\\\[(?:[^\\]|\\[^\]]){1,2000}?\\\]|\$\$(?:[^\\$]|\\[^]|\$(?!\$)){1,2000}?\$\$/y;
const opening = /^ {0,3}(\$\$|\\\[)(.*)$/;
/** What few sentences have in them, and no escaped link. */
const tex = /^(?!.*\]\().*(?:\\[a-z]|[\^={}])/i;

/**
 * Returns the formula that begins at i with its marks, "" if none does. One
 * without a letter or a digit is punctuation that was escaped.
 * @param {string} src
 * @param {number} i
 */
export function formula(src, i) {
  formulas.lastIndex = i;
  const text = formulas.exec(src)?.[0] ?? "";
  return /[\p{L}\p{N}]/u.test(text) ? text : "";
}

/**
 * Returns the mark that ends the block of mathematics which begins on a line,
 * "" if none does: its mark stands alone, or before a formula that goes on.
 * @param {string} line
 */
export function opensMath(line) {
  const m = opening.exec(line);
  if (!m) return "";
  const close = m[1] === "$$" ? "$$" : "\\]";
  const rest = m[2].trim();
  return !rest || (tex.test(rest) && !rest.includes(close)) ? close : "";
}
