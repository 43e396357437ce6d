// @ts-check
// Where links may lead, how their targets are read, and what text may look like.

/** @typedef {import("./markdown-inline.js").Node} Node */
/** @typedef {import("./markdown-inline.js").Branch} Branch */

/** Longest link target in characters; a longer one stays text. */
export const maxTarget = 2048;

const entity = /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z][a-z0-9]{1,31}));/iy;
const marks = /(\p{M}{6})\p{M}+/gu;
const beyondLatin = /[\0\u0300-\uffff]/;

/** @type {Record<string, string>} the entities that models write */
const named = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "©", auml: "ä", ouml: "ö", hellip: "…", mdash: "—", ndash: "–", rarr: "→",
};

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
 * Returns the address that a link may lead to, or "" when it may not.
 * Only absolute http, https, mailto and tel are let through.
 * @param {string} raw
 */
export function safeAddress(raw) {
  if (raw.length > maxTarget) return "";
  try {
    const url = new URL(raw);
    return /^(https?|mailto|tel):$/.test(url.protocol) ? url.href : "";
  } catch {
    return "";
  }
}

/**
 * @param {string} href
 * @param {Node[]} children
 * @returns {Branch}
 */
export function link(href, children) {
  const shown = textOf(children).trim();
  // A text that reads like an address must not hide where the link goes.
  const claims = /^(?:[a-z][a-z0-9+.-]*:\/\/)?(?:[^\s/@]*@)?((?:[\p{L}\p{N}-]+\.)+\p{L}{2,})(?:[/:?#]|$)/iu.exec(shown);
  let host = "";
  if (/^http/.test(href)) {
    const real = new URL(href).host;
    if (claims && bare(claims[1]) !== bare(real)) host = real;
  }
  const c = unlinked(children);
  return { t: "a", href, c: host ? [...c, ` (${host})`] : c };
}

/** A picture in a link is its words alone: links don't nest. @param {Node[]} nodes @returns {Node[]} */
function unlinked(nodes) {
  return nodes.flatMap((n) => (typeof n === "string" ? n : n.t === "a" ? unlinked(n.c) : { ...n, c: unlinked(n.c) }));
}

/** @param {string} host */
function bare(host) {
  return host.toLowerCase().replace(/^www\.|:\d+$/g, "");
}

/**
 * Returns the words of a tree with no markup.
 * @param {Node[]} nodes
 * @returns {string}
 */
export function textOf(nodes) {
  return nodes.map((n) => (typeof n === "string" ? n : n.t === "br" ? "\n" : textOf(n.c))).join("");
}

/**
 * Reads the entity that begins at i, if one does.
 * @param {string} src
 * @param {number} i
 * @returns {{text: string, end: number}|null}
 */
export function entityAt(src, i) {
  entity.lastIndex = i;
  const m = entity.exec(src);
  if (!m) return null;
  const end = i + m[0].length;
  if (m[3]) return { text: named[m[3]] ?? m[0], end };
  const code = m[1] ? Number(m[1]) : parseInt(m[2], 16);
  const bad = code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff);
  return { text: bad ? "\ufffd" : String.fromCodePoint(code), end };
}

/**
 * Reads `target "title")` from just after the parenthesis.
 * @param {string} src
 * @param {number} i
 * @returns {{href: string, end: number}|null}
 */
export function linkTarget(src, i) {
  const stop = Math.min(src.length, i + maxTarget);
  while (i < stop && /\s/.test(src[i])) i++;
  let href = "";
  if (src[i] === "<") {
    const end = i + src.slice(i, stop).indexOf(">");
    if (end < i) return null;
    href = src.slice(i + 1, end);
    if (/[\n<]/.test(href)) return null;
    i = end + 1;
  } else {
    const from = i;
    let depth = 0;
    for (; i < stop; i++) {
      const c = src.charCodeAt(i);
      if (c <= 32) break;
      if (c === 92) i++;
      else if (c === 40 && ++depth > 32) return null;
      else if (c === 41 && --depth < 0) break;
    }
    href = src.slice(from, i);
  }
  while (i < stop && /\s/.test(src[i])) i++;
  const quote = src[i] === "(" ? ")" : src[i];
  if (quote && `"')`.includes(quote) && src[i] !== ")") {
    while (++i < stop && src[i] !== quote) if (src[i] === "\\") i++;
    if (i++ >= stop) return null;
    while (i < stop && /\s/.test(src[i])) i++;
  }
  if (src[i] !== ")") return null;
  return { href: decode(href.replace(/\\([!-/:-@[-`{-~])/g, "$1")), end: i + 1 };
}

/** @param {string} text */
function decode(text) {
  return text.includes("&") ? text.replace(/&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});/gi, (m) => entityAt(m, 0)?.text ?? m) : text;
}

/**
 * Cuts what belongs to the sentence, not the address: closing marks, and a
 * parenthesis that was not opened inside.
 * @param {string} text
 */
export function trimAddress(text) {
  let opened = 0;
  for (const c of text) opened += c === "(" ? 1 : c === ")" ? -1 : 0;
  for (let end = text.length; ; end--) {
    const last = text[end - 1];
    if (last === ")" && opened < 0) opened++;
    else if (!last || !"?!.,:;*_~'\"]".includes(last)) return text.slice(0, end);
  }
}
