// @ts-check
// Blocks of Markdown: lines to a tree of containers and leaves whose text is still raw. A
// finished block never changes when lines are added, so markdown.js can discard finished
// blocks.

import { blank, cells, fence, headingLine, indent, interrupts, isRule, isTable, itemLine, maxDepth, quoteLine, untab } from "./markdown-lines.js";
import { opensMath } from "./markdown-math.js";

/**
 * @typedef {object} Block
 * @property {string} t p h ul ol li quote pre math table hr
 * @property {number} start first line
 * @property {number} firm the last line needed to decide that it begins here
 * @property {string} [text] raw text of a leaf
 * @property {number} [level] of a heading
 * @property {string} [lang] of code
 * @property {Block[]} [items] the content of a container
 * @property {number} [first] an ordered list's first number
 * @property {boolean} [loose] whether a list is loose
 * @property {boolean|null} [done] a task's state
 * @property {string[]} [aligns] of a table's columns
 * @property {string[][]} [rows] of a table, its head first
 */

/**
 * Parses lines into blocks.
 * @param {string[]} lines
 * @param {number} [depth]
 * @returns {{blocks: Block[], gap: boolean}} `gap`: blank lines between blocks
 */
export function parseBlocks(lines, depth = 0) {
  /** @type {Block[]} */
  const blocks = [];
  let gap = false;
  let sawBlank = false;
  let i = 0;
  while (i < lines.length) {
    const line = untab(lines[i]);
    if (blank(line)) {
      sawBlank = true;
      i++;
      continue;
    }
    if (sawBlank && blocks.length) gap = true;
    sawBlank = false;
    const at = blocks.length;
    i = next(lines, i, line, depth, blocks);
    // A container may end in blank lines, which separate it from the next block.
    if (blocks.length > at && blank(lines[i - 1])) sawBlank = true;
  }
  return { blocks, gap };
}

/**
 * Parses the block that begins at line i; returns the line after it.
 * @param {string[]} lines
 * @param {number} i
 * @param {string} line
 * @param {number} depth
 * @param {Block[]} out
 * @returns {number}
 */
function next(lines, i, line, depth, out) {
  const pad = indent(line);
  if (pad > 3) return indented(lines, i, out);
  const f = fence(line);
  if (f) return fenced(lines, i, pad, f, out);
  const close = opensMath(line);
  if (close) return math(lines, i, close, out);
  const h = headingLine.exec(line);
  if (h) {
    let text = line.slice(h[0].length).trim();
    let end = text.length;
    while (text[end - 1] === "#") end--;
    if (end === 0 || text[end - 1] === " ") text = text.slice(0, end).trimEnd();
    out.push({ t: "h", start: i, firm: i, level: h[1].length, text });
    return i + 1;
  }
  if (isRule(line)) {
    out.push({ t: "hr", start: i, firm: i });
    return i + 1;
  }
  if (depth < maxDepth) {
    if (quoteLine.test(line)) return quote(lines, i, depth, out);
    if (itemLine.test(line)) return list(lines, i, depth, out);
  }
  if (isTable(lines, i)) return table(lines, i, depth, out);
  return paragraph(lines, i, depth, out);
}

/** @param {string[]} lines @param {number} i @param {Block[]} out */
function indented(lines, i, out) {
  const start = i;
  const code = [];
  for (; i < lines.length; i++) {
    const line = untab(lines[i]);
    if (!blank(line) && indent(line) < 4) break;
    code.push(line.slice(4));
  }
  while (code.length && blank(code[code.length - 1])) code.pop();
  out.push({ t: "pre", start, firm: start, lang: "", text: code.join("\n") });
  return i;
}

/** @param {string[]} lines @param {number} i @param {number} pad @param {RegExpExecArray} open @param {Block[]} out */
function fenced(lines, i, pad, open, out) {
  const start = i++;
  const code = [];
  for (; i < lines.length; i++) {
    if (closesFence(lines[i], open[1])) {
      i++;
      break;
    }
    if (lines[i] || i < lines.length - 1) code.push(lines[i].slice(Math.min(pad, indent(lines[i]))));
  }
  const lang = open[2].trim().split(/[\s{,]/, 1)[0].slice(0, 40);
  out.push({ t: "pre", start, firm: start, lang, text: code.join("\n") });
  return i;
}

/** Parses a formula of several lines; a blank line ends one that is not closed. @param {string[]} lines @param {number} i @param {string} close @param {Block[]} out */
function math(lines, i, close, out) {
  const start = i++;
  while (i < lines.length && !blank(lines[i])) if (lines[i++].trimEnd().endsWith(close)) break;
  out.push({ t: "math", start, firm: start, text: lines.slice(start, i).join("\n") });
  return i;
}

/** @param {string} line @param {string} open */
function closesFence(line, open) {
  const s = line.trim();
  if (s.length < open.length || indent(line) > 3) return false;
  for (const c of s) if (c !== open[0]) return false;
  return true;
}

/** @param {string[]} lines @param {number} i @param {number} depth @param {Block[]} out */
function quote(lines, i, depth, out) {
  const start = i;
  const inner = [];
  const lazy = new Lazy(depth + 1);
  for (; i < lines.length; i++) {
    const line = untab(lines[i]);
    const m = quoteLine.exec(line);
    if (m) {
      const rest = line.slice(m[0].length);
      inner.push(rest.startsWith(" ") ? rest.slice(1) : rest);
    } else if (lazy.takes(line)) {
      inner.push(lazily(line));
    } else {
      break;
    }
    lazy.saw(inner[inner.length - 1]);
  }
  out.push({ t: "quote", start, firm: start, items: parseBlocks(inner, depth + 1).blocks });
  return i;
}

/** A line that continues a paragraph cannot begin a block: it is indented too far. @param {string} line */
function lazily(line) {
  return "    " + line.trimStart();
}

/** Decides whether a line without its container's marker still belongs to the container. */
class Lazy {
  /** @param {number} depth */
  constructor(depth) {
    this.depth = depth;
    this.fence = "";
    this.text = false; // whether the last line can be part of a paragraph
  }

  /** @param {string} line */
  saw(line) {
    const m = fence(line);
    if (this.fence) {
      if (closesFence(line, this.fence)) this.fence = "";
      this.text = false;
    } else if (m) {
      this.fence = m[1];
      this.text = false;
    } else {
      this.text = !blank(line) && !headingLine.test(line) && !isRule(line) && (this.text || indent(line) < 4);
    }
  }

  /** @param {string} line */
  takes(line) {
    return this.text && !blank(line) && !interrupts(line, this.depth) && !itemLine.test(line);
  }
}

/** @param {string[]} lines @param {number} i @param {number} depth @param {Block[]} out */
function list(lines, i, depth, out) {
  const start = i;
  const head = /** @type {RegExpExecArray} */ (itemLine.exec(untab(lines[i])));
  const kind = head[2].slice(-1);
  /** @type {Block[]} */
  const items = [];
  let loose = false;
  while (i < lines.length) {
    const line = untab(lines[i]);
    const m = itemLine.exec(line);
    if (!m || m[2].slice(-1) !== kind || isRule(line)) break;
    if (items.length && blank(lines[i - 1])) loose = true;
    const rest = line.slice(m[0].length);
    const spaces = m[3].length;
    const width = m[1].length + m[2].length + (blank(rest) || spaces > 4 ? 1 : spaces);
    const inner = [untab(line.slice(width))];
    const from = i++;
    const lazy = new Lazy(depth + 1);
    lazy.saw(inner[0]);
    for (; i < lines.length; i++) {
      const l = untab(lines[i]);
      if (blank(l)) {
        if (inner.length === 1 && blank(inner[0])) break; // an empty item has no later lines
        inner.push("");
      } else if (indent(l) >= width) {
        inner.push(l.slice(width));
      } else if (lazy.takes(l)) {
        inner.push(lazily(l));
      } else {
        break;
      }
      lazy.saw(inner[inner.length - 1]);
    }
    while (i < lines.length && blank(lines[i])) i++;
    items.push(item(inner, from, depth));
    if (items[items.length - 1].loose) loose = true;
  }
  const first = parseInt(head[2], 10);
  out.push({ t: Number.isNaN(first) ? "ul" : "ol", start, firm: start, items, loose, first });
  return i;
}

/** @param {string[]} lines @param {number} start @param {number} depth @returns {Block} */
function item(lines, start, depth) {
  const task = /^\[([ xX])\](?=\s)/.exec(lines[0]);
  if (task) lines[0] = lines[0].slice(4);
  const { blocks, gap } = parseBlocks(lines, depth + 1);
  return { t: "li", start, firm: start, items: blocks, loose: gap, done: task ? task[1] !== " " : null };
}

/** @param {string[]} lines @param {number} i @param {number} depth @param {Block[]} out */
function table(lines, i, depth, out) {
  const start = i;
  const head = cells(lines[i]);
  const aligns = cells(lines[i + 1]).map((c) => (c.endsWith(":") ? (c.startsWith(":") ? "center" : "end") : c.startsWith(":") ? "start" : ""));
  const rows = [head];
  for (i += 2; i < lines.length; i++) {
    if (blank(lines[i]) || interrupts(lines[i], depth)) break;
    const row = cells(lines[i]);
    rows.push(head.map((_, n) => row[n] ?? ""));
  }
  out.push({ t: "table", start, firm: start + 1, aligns, rows });
  return i;
}

/** @param {string[]} lines @param {number} i @param {number} depth @param {Block[]} out */
function paragraph(lines, i, depth, out) {
  const start = i;
  const text = [untab(lines[i++]).trimStart()];
  let within = false; // whether a formula that began in the paragraph has not ended
  for (; i < lines.length; i++) {
    if (lines[i - 1].split("$$").length % 2 === 0) within = !within;
    const line = untab(lines[i]);
    if (blank(line)) break;
    const underline = indent(line) < 4 && /^(=+|-+)$/.exec(line.trim());
    if (underline) {
      out.push({ t: "h", start, firm: start, level: underline[1][0] === "=" ? 1 : 2, text: text.join("\n").trim() });
      return i + 1;
    }
    if ((interrupts(line, depth) && !(within && opensMath(line))) || isTable(lines, i)) break;
    text.push(line.trimStart());
  }
  out.push({ t: "p", start, firm: start, text: text.join("\n").trimEnd() });
  return i;
}
