// @ts-check
// Inline Markdown: one block's raw text to a tree. It follows CommonMark 0.31 for
// backslashes, entities, code spans, emphasis (the rule of three) and links, and GFM for
// strikethrough and bare URLs. HTML stays text, except a line break in a table cell.
// Images become links, so that showing a message fetches nothing. Formulas keep their
// source.

import { closeOpen, flatten, maxOpen, Runs } from "./markdown-emphasis.js";
import { flanks } from "./markdown-flanks.js";
import { bareAddress, entityAt, link, linkTarget, maxTarget, safeAddress } from "./markdown-link.js";
import { formula, maxFormula } from "./markdown-math.js";
import { plain } from "./plain.js";

/** @typedef {import("./markdown-emphasis.js").Node} Node */
/** @typedef {import("./markdown-emphasis.js").Item} Item */

/** A paragraph with more text than this is shown as plain text. */
const maxText = 1 << 16;
/** Maximum delimiters and brackets in one block; the rest stays text. */
const maxMarks = 20000;

// Chinese, Japanese and Thai have no spaces: a URL may follow any letter that cannot be
// part of it.
const special = /[\\`*_~[\]!<&\n]|\$\$|(?<![a-z\d_])(?:https?:\/\/|www\.)/gi;
const lineBreak = /<br\s*\/?>/iy;
const angle = /<([a-z][a-z0-9+.-]{1,31}:[^\s<>]{0,2000}|[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9.-]{1,253})>/iy;

/**
 * Parses the text of one block. With `open` the text is still streaming: unmatched
 * delimiters are shown as if their match had arrived. In a table cell `<br>` breaks the
 * line.
 * @param {string} src
 * @param {boolean} [open]
 * @param {boolean} [cell]
 * @returns {Node[]}
 */
export function inline(src, open = false, cell = false) {
  if (src.length > maxText) return [plain(src)];
  special.lastIndex = 0;
  if (!special.test(src)) return [plain(src)];
  return new Inline(src, open, cell).parse();
}

class Inline {
  /** @param {string} src @param {boolean} open @param {boolean} cell */
  constructor(src, open, cell) {
    this.src = src;
    this.open = open;
    this.cell = cell;
    this.pos = 0;
    this.budget = maxMarks;
    /** @type {Item} */
    this.head = { v: null, prev: null, next: null };
    this.tail = this.head;
    this.runs = new Runs();
    /** @type {{item: Item, image: boolean, active: boolean, top: Item|null}[]} */
    this.brackets = [];
    /** @type {Map<number, number>} run length to the last position where it begins */
    this.ticks = new Map();
    this.ticksKnown = false;
  }

  /** @param {Node} v @returns {Item} */
  push(v) {
    const item = { v, prev: this.tail, next: null };
    this.tail.next = item;
    this.tail = item;
    return item;
  }

  parse() {
    const { src } = this;
    while (this.pos < src.length) {
      special.lastIndex = this.pos;
      const m = special.exec(src);
      const at = m ? m.index : src.length;
      if (at > this.pos) this.push(src.slice(this.pos, at));
      this.pos = at;
      if (!m) break;
      if (--this.budget < 0) {
        this.push(src.slice(at));
        break;
      }
      this.mark(m[0]);
    }
    this.runs.emphasis(null, this.open);
    if (this.open) closeOpen(this.head, this.tail);
    return flatten(this.head.next);
  }

  /** @param {string} found */
  mark(found) {
    const { src } = this;
    switch (found) {
      case "\\": {
        const next = src[this.pos + 1];
        if ((next === "(" || next === "[") && this.math()) return;
        if (next === "\n") {
          this.push({ t: "br", c: [] });
          this.pos += 2;
        } else if (next && /[!-/:-@[-`{-~]/.test(next)) {
          this.push(next);
          this.pos += 2;
        } else {
          this.literal(1);
        }
        return;
      }
      case "\n":
        return this.lineBreak();
      case "`":
        return this.codeSpan();
      case "*":
      case "_":
      case "~":
        return this.run(found);
      case "!":
        if (src[this.pos + 1] === "[") return this.bracket(true);
        return this.literal(1);
      case "[":
        return this.bracket(false);
      case "]":
        return this.closeBracket();
      case "<":
        return this.autolink();
      case "&":
        return this.entity();
      case "$$":
        return this.math() || this.literal(2);
      default:
        return this.bareLink(found);
    }
  }

  /** @param {number} n characters to output unchanged */
  literal(n) {
    this.push(this.src.slice(this.pos, this.pos + n));
    this.pos += n;
  }

  /** Parses the formula that begins here, if there is one, and keeps its source. */
  math() {
    const { src, pos } = this;
    const rest = src.length - pos;
    const text = formula(src, pos) || (this.open && rest < maxFormula && /[\p{L}\p{N}]/u.test(src.slice(pos)) ? src.slice(pos) : "");
    if (!text) return false;
    this.push({ t: "code", c: [plain(text)] });
    this.pos += text.length;
    return true;
  }

  lineBreak() {
    const last = this.tail;
    let hard = false;
    if (typeof last.v === "string") {
      hard = last.v.endsWith("  ");
      last.v = last.v.trimEnd();
    }
    this.push(hard ? { t: "br", c: [] } : "\n");
    this.pos++;
    while (this.src[this.pos] === " ") this.pos++;
  }

  entity() {
    const found = entityAt(this.src, this.pos);
    if (!found) return this.literal(1);
    this.push(found.text);
    this.pos = found.end;
  }

  codeSpan() {
    const { src } = this;
    let end = this.pos;
    while (src[end] === "`") end++;
    const n = end - this.pos;
    if (!this.ticksKnown) {
      // One pass finds the last run of every length, so that giving up on an unmatched
      // run costs nothing.
      for (const m of src.matchAll(/`+/g)) this.ticks.set(m[0].length, m.index);
      this.ticksKnown = true;
    }
    if ((this.ticks.get(n) ?? -1) >= end) {
      let at = end;
      for (;;) {
        at = src.indexOf("`", at);
        let stop = at;
        while (src[stop] === "`") stop++;
        if (stop - at === n) {
          this.push({ t: "code", c: [codeText(src.slice(end, at))] });
          this.pos = stop;
          return;
        }
        at = stop;
      }
    }
    if (this.open && n < 3) {
      if (end < src.length) this.push({ t: "code", c: [codeText(src.slice(end))] });
      this.pos = src.length;
      return;
    }
    this.literal(n);
  }

  /** @param {string} ch */
  run(ch) {
    const { src } = this;
    let end = this.pos;
    while (src[end] === ch) end++;
    const len = end - this.pos;
    if (this.open && end === src.length) {
      // While the text is streaming, a delimiter at the very end is undecided.
      this.pos = end;
      return;
    }
    const { opens, closes } = flanks(src, this.pos, end, ch === "_");
    if ((ch === "~" && len !== 2) || (!opens && !closes) || (!closes && this.runs.waiting >= maxOpen)) {
      return this.literal(len);
    }
    this.tail = this.runs.put(this.tail, ch, len, opens, closes);
    this.pos = end;
  }

  /** @param {boolean} image */
  bracket(image) {
    const item = this.push(image ? "![" : "[");
    this.pos += image ? 2 : 1;
    if (this.brackets.length < maxOpen) {
      this.brackets.push({ item, image, active: true, top: this.runs.top });
    }
  }

  closeBracket() {
    const { src } = this;
    const b = this.brackets.pop();
    if (!b?.active || src[this.pos + 1] !== "(") return this.literal(1);
    const target = linkTarget(src, this.pos + 2);
    if (!target) {
      if (this.open && src.length - this.pos < maxTarget && !/[\s]/.test(src.slice(this.pos + 2))) {
        // The URL is incomplete: show the link text, hide the rest.
        b.item.v = "";
        this.pos = src.length;
        return;
      }
      return this.literal(1);
    }
    const href = safeAddress(target.href);
    if (!href) return this.literal(1);
    this.runs.emphasis(b.top);
    const inner = b.item.next;
    b.item.next = null;
    this.tail = b.item;
    const children = flatten(inner);
    b.item.v = link(href, children.length ? children : [plain(href)]);
    this.pos = target.end;
    if (!b.image) for (const other of this.brackets) if (!other.image) other.active = false;
  }

  autolink() {
    lineBreak.lastIndex = this.pos;
    const br = this.cell && lineBreak.exec(this.src);
    if (br) {
      this.push({ t: "br", c: [] });
      this.pos += br[0].length;
      return;
    }
    angle.lastIndex = this.pos;
    const m = angle.exec(this.src);
    const href = m && safeAddress(m[1].includes(":") ? m[1] : `mailto:${m[1]}`);
    if (!m || !href) return this.literal(1);
    this.push(link(href, [plain(m[1])]));
    this.pos += m[0].length;
  }

  /** @param {string} found */
  bareLink(found) {
    const text = bareAddress(this.src, this.pos);
    const inLink = this.brackets.some((b) => b.active && !b.image) && this.insideLink();
    const href = inLink ? "" : safeAddress(/^www\./i.test(text) ? `https://${text}` : text);
    const rest = text.slice(found.length);
    if (!href || !/^[\p{L}\p{N}[]/u.test(rest)) return this.literal(found.length);
    this.push(link(href, [plain(text)]));
    this.pos += text.length;
  }

  /** Reports whether the open bracket becomes a link, so that links never nest. */
  insideLink() {
    const ahead = this.src.slice(this.pos, this.pos + maxTarget);
    const close = ahead.indexOf("](");
    return close >= 0 && !/[\n[]/.test(ahead.slice(0, close));
  }
}

/** @param {string} text */
function codeText(text) {
  const s = text.replace(/\n/g, " ");
  return plain(s.length > 2 && s.startsWith(" ") && s.endsWith(" ") && s.trim() ? s.slice(1, -1) : s);
}
