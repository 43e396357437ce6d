// @ts-check
// Formulas are not rendered. Their source is kept, so that no backslash, star or
// underscore in it is parsed as Markdown.

/** Maximum length of an inline formula, in characters. */
export const maxFormula = 2000;

// An escaped backslash before the closing delimiter belongs to the formula.
const formulas = /\\\((?:[^\\]|\\[^)]){1,2000}?\\\)|\\\[(?:[^\\]|\\[^\]]){1,2000}?\\\]|\$\$(?:[^\\$]|\\[^]|\$(?!\$)){1,2000}?\$\$/y;
const opening = /^ {0,3}(\$\$|\\\[)(.*)$/;
/** Characters that occur in few sentences, and in no escaped link. */
const tex = /^(?!.*\]\().*(?:\\[a-z]|[\^={}])/i;

/**
 * Returns the formula that begins at i with its delimiters, "" if there is none. Without
 * a letter or a digit it is escaped punctuation.
 * @param {string} src
 * @param {number} i
 */
export function formula(src, i) {
  formulas.lastIndex = i;
  const text = formulas.exec(src)?.[0] ?? "";
  return /[\p{L}\p{N}]/u.test(text) ? text : "";
}

/**
 * Returns the delimiter that ends the block formula that begins on a line, "" if there is
 * none: the opening delimiter is alone, or before a formula of several lines.
 * @param {string} line
 */
export function opensMath(line) {
  const m = opening.exec(line);
  if (!m) return "";
  const close = m[1] === "$$" ? "$$" : "\\]";
  const rest = m[2].trim();
  return !rest || (tex.test(rest) && !rest.includes(close)) ? close : "";
}
