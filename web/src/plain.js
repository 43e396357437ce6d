// @ts-check
// What text that others wrote may look like.

const marks = /(\p{M}{6})\p{M}+/gu;
const beyondLatin = /[\0\u0300-\uffff]/;

/**
 * Makes text safe to look at: overrides of the writing direction are dropped,
 * as they make one name look like another, and piles of combining marks are
 * cut to a height that stays in its line.
 * @param {string} text
 */
export function plain(text) {
  if (!beyondLatin.test(text)) return text;
  return text.replace(/[\u202a-\u202e\u2066-\u2069\0]/g, "").replace(marks, "$1");
}

/**
 * Shortens a file's name in its middle: its end says what it is.
 * @param {string} name
 */
export function short(name) {
  const all = [...plain(name)];
  return all.length > 24 ? `${all.slice(0, 12).join("")}…${all.slice(-10).join("")}` : all.join("");
}
