// @ts-check
// Sanitizes the appearance of text from others.

const marks = /(\p{M}{6})\p{M}+/gu;
const beyondLatin = /[\0\u0300-\uffff]/;

/**
 * Makes text safe to display: overrides of the text direction are removed, because they
 * disguise names, and stacked combining marks are limited so that they stay within their
 * line.
 * @param {string} text
 */
export function plain(text) {
  if (!beyondLatin.test(text)) return text;
  return text.replace(/[\u202a-\u202e\u2066-\u2069\0]/g, "").replace(marks, "$1");
}

/**
 * Shortens a file name in its middle: its end shows the type.
 * @param {string} name
 */
export function short(name) {
  const all = [...plain(name)];
  return all.length > 24 ? `${all.slice(0, 12).join("")}…${all.slice(-10).join("")}` : all.join("");
}
