// @ts-check
// Allowed link targets, and parsing of targets.

/** @typedef {import("./markdown-emphasis.js").Node} Node */
/** @typedef {import("./markdown-emphasis.js").Branch} Branch */

/** Maximum length of a link target, in characters; a longer one stays text. */
export const maxTarget = 2048;

const entity = /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z][a-z0-9]{1,31}));/iy;

/** @type {Record<string, string>} the entities that models use */
const named = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "©", auml: "ä", ouml: "ö", hellip: "…", mdash: "—", ndash: "–", rarr: "→",
};

/**
 * Returns the URL of an allowed link target, or "" if it is not allowed. Only absolute
 * http, https, mailto and tel are allowed.
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
 * Creates a link. If its text names another host, the target's host is added after it.
 * @param {string} href from safeAddress
 * @param {Node[]} children
 * @returns {Branch}
 */
export function link(href, children) {
  const { host, hostname, pathname } = new URL(href);
  const goal = host ? bare(hostname) : pathname.replace(/^.*@/, "").toLowerCase();
  const words = textOf(children).slice(0, maxTarget).normalize("NFKC").split(/\s+/);
  const c = unlinked(children);
  return { t: "a", href, c: words.some((word) => misleads(word, goal)) ? [...c, ` (${host || pathname})`] : c };
}

/**
 * Reports whether a word of a link's text suggests another target.
 * @param {string} word
 * @param {string} goal the target's host
 */
function misleads(word, goal) {
  const text = word.replace(/^[^\p{L}\p{N}%]+|[^\p{L}\p{N}/]+$/gu, "");
  const scheme = /^(?:https?:|[a-z][a-z\d+.-]*:(?=[/\\]))[/\\]*/i.exec(text)?.[0] ?? "";
  const authority = text.slice(scheme.length).split(/[/\\?#]/, 1)[0];
  if (scheme && authority.includes("@")) return true;
  const parts = authority[0] === "[" ? [authority] : authority.split(/[@,;|"'<>{}\p{Ps}\p{Pe}\p{Pi}\p{Pf}]+/u);
  return parts.some((part) => {
    const named = hostIn(part, scheme !== "");
    return named !== "" && (named !== goal || (lookalike.test(part) && /[a-z]/i.test(part.replace(/^www\./i, ""))));
  });
}

/** Letters that look like Latin letters of a host name. */
const lookalike = /[\u0250-\u02ff\u0370-\u058f\u10a0-\u10ff\u13a0-\u13ff\u1c80-\u1cbf\u1d00-\u1fff\u2c60-\u2dff\ua640-\ua69f\ua720-\ua7ff\uab30-\uabbf]/;

/**
 * Returns the host in a text, as the browser would parse it, including percent-encoding
 * and other forms of dots; "" if there is none.
 * @param {string} text
 * @param {boolean} sure whether the text cannot be anything else
 */
function hostIn(text, sure) {
  if (!text) return "";
  let name = "";
  try {
    name = bare(new URL(`http://${text}`).hostname);
  } catch {
    // No browser accepts it; a reader may still take it for a host.
  }
  if (sure) return name || text;
  const written = text.replace(/:\d*$/, "");
  if (!name) return /\.\p{L}{2,}$/u.test(written) ? text : "";
  if (/^\d+(?:\.\d+){3}$/.test(written)) return name;
  const labels = name.split(".");
  if (labels.length < 2 || labels.includes("")) return "";
  // Sentences in scripts without spaces have full stops that look like dots.
  return /\.[a-z]{2,}$/.test(name) || /\.(?:xn--|[\p{L}\p{M}]{2,}$)/iu.test(written) ? name : "";
}

/** An image in a link becomes its text only: links do not nest. @param {Node[]} nodes @returns {Node[]} */
function unlinked(nodes) {
  return nodes.flatMap((n) => (typeof n === "string" ? n : n.t === "a" ? unlinked(n.c) : { ...n, c: unlinked(n.c) }));
}

/** @param {string} host */
function bare(host) {
  return host.replace(/^www\.|\.$/g, "");
}

/**
 * Returns the text of a tree without markup.
 * @param {Node[]} nodes
 * @returns {string}
 */
export function textOf(nodes) {
  return nodes.map((n) => (typeof n === "string" ? n : n.t === "br" ? "\n" : textOf(n.c))).join("");
}

/**
 * Parses the entity that begins at i, if there is one.
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
 * Parses `target "title")` from just after the parenthesis.
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

// Letters of any script, and the ASCII characters of GFM. A browser percent-encodes all
// other non-ASCII characters, so they belong to the sentence.
const bareText = /[!#-;=?-_a-~\p{L}\p{M}\p{N}]{1,2049}/uy; // one more than the maximum of a target
const bareHost = /^(?:https?:\/\/)?(?:[^/?#@]*@)?([\p{L}\p{M}\p{N}_.-]+)(?::\d+)?/iu;
/** A host followed by letters of a script without spaces. */
const glued = /^((?:https?:\/\/)?(?:[a-z\d-]+\.)+[a-z]{2,}(?::\d+)?)[\u0e00-\u1fff\u2e80-\uffff]/i;

/**
 * Returns the bare URL that begins at i, "" if there is none. Its host contains a dot and
 * ends where GFM says; a port, a path, a query or a fragment may follow.
 * @param {string} src
 * @param {number} i
 */
export function bareAddress(src, i) {
  bareText.lastIndex = i;
  const text = bareText.exec(src)?.[0] ?? "";
  const m = text.length > maxTarget ? null : bareHost.exec(text);
  if (!m || !/\.|^localhost$/i.test(m[1])) return "";
  const host = glued.exec(m[0])?.[1] ?? m[0];
  return trimAddress(/[/?#]/.test(text[host.length] ?? "") ? text : host);
}

/**
 * Cuts off the end that belongs to the sentence: closing punctuation, an entity, and a
 * closing parenthesis without an opening one.
 * @param {string} text
 */
function trimAddress(text) {
  let opened = 0;
  for (const c of text) opened += c === "(" ? 1 : c === ")" ? -1 : 0;
  for (let end = text.length; ; ) {
    const last = text[end - 1];
    const entity = last === ";" && /&[a-z\d]+;$/i.exec(text.slice(0, end));
    if (last === ")" && opened < 0) opened++;
    else if (!last || !"?!.,:;*_~'\"]".includes(last)) return text.slice(0, end);
    end -= entity ? entity[0].length : 1;
  }
}
