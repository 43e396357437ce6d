// @ts-check
// The flanking of a delimiter run: CommonMark 0.31, section 6.2, with the amendment
// "CJK-friendly emphasis". In scripts without spaces a delimiter may be between a letter
// and punctuation, where CommonMark treats it as text.

const punctuation = /[\p{P}\p{S}]/u;

/**
 * CJK characters of the amendment: East_Asian_Width F, H or W without a default
 * emoji presentation, and all of Hangul.
 */
const cjk = /(?!\p{Emoji_Presentation})[\p{Script=Hangul}\u20a9\u2329\u232a\u2630-\u2637\u268a-\u268f\u2e80-\u303e\u3041-\u3247\u3250-\ua4cf\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6b\uff01-\uffee\u{16fe0}-\u{1b2fb}\u{1d300}-\u{1d376}\u{1f200}-\u{1f265}\u{20000}-\u{3fffd}]/u;
/** Variation selectors of the preceding character: U+FE00 to U+FE0E, without the emoji's. */
const variation = /[\ufe00-\ufe0e]/;
/** Variation selectors that follow an ideograph. */
const ideographic = /[\u{e0100}-\u{e01ef}]/u;

/**
 * Reports whether the run from `start` to `end` can open and close emphasis. `word` is
 * true for underscores, which have no effect within a word.
 * @param {string} src
 * @param {number} start
 * @param {number} end
 * @param {boolean} word
 */
export function flanks(src, start, end, word) {
  const last = charBefore(src, start);
  const after = charAfter(src, end);
  let before = last;
  let wide = ideographic.test(last) || cjk.test(last);
  if (variation.test(last)) {
    const base = charBefore(src, start - 1);
    if (base.trim()) before = base;
    wide = cjk.test(base) || (last === "\ufe01" && /[‘’“”]/.test(base));
  }
  const spaceBefore = before.trim() === "";
  const spaceAfter = after.trim() === "";
  const markBefore = isMark(before);
  const markAfter = isMark(after);
  const free = !word && (wide || cjk.test(after));
  const left = !spaceAfter && (free || !markAfter || spaceBefore || markBefore);
  const right = !spaceBefore && (free || !markBefore || spaceAfter || markAfter);
  return word ? { opens: left && (!right || markBefore), closes: right && (!left || markAfter) } : { opens: left, closes: right };
}

/** @param {string} src @param {number} i */
function charBefore(src, i) {
  const c = src.charCodeAt(i - 1);
  return c >= 0xdc00 && c <= 0xdfff ? src.slice(Math.max(0, i - 2), i) : src.slice(Math.max(0, i - 1), i);
}

/** @param {string} src @param {number} i */
function charAfter(src, i) {
  const c = src.codePointAt(i);
  return c === undefined ? "" : String.fromCodePoint(c);
}

/** @param {string} ch */
function isMark(ch) {
  const c = ch.charCodeAt(0);
  return c < 128 ? c > 32 && !(c > 47 && c < 58) && !(c > 64 && c < 91) && !(c > 96 && c < 123) && c < 127 : punctuation.test(ch);
}
