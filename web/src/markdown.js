// @ts-check
// Renders streaming Markdown. Finished blocks are not parsed again. Only the open end is
// parsed again when text arrives, and only changed nodes are touched, so that selection
// and focus are kept.
import { parseBlocks } from "./markdown-blocks.js";
import { inline } from "./markdown-inline.js";
import { plain } from "./plain.js";
import { doc } from "../../clients/js/src/doc.js";

/** @typedef {import("./markdown-emphasis.js").Node} Node */
/** @typedef {import("./markdown-emphasis.js").Branch} Branch */
/** @typedef {import("./markdown-blocks.js").Block} Block */

/** Maximum length of a message, in characters; the rest is cut off. */
const maxMessage = 1 << 19;

/** A last line that may still change its meaning. */
const unclear = /^[\s>]*(?:[-=*+_#~`|:\s]+|\d{1,3}[.)]?|[-*+] \[[ xX]?\]?)$/;

/**
 * Parses a whole text.
 * @param {string} text
 * @returns {Node[]}
 */
export function parse(text) {
  return toTree(parseBlocks(splitLines(text)).blocks, false, inline);
}

/**
 * Returns a text without its markup, for screen readers.
 * @param {string} text
 */
export function spoken(text) {
  /** @param {Node[]} nodes @returns {string} */
  const say = (nodes) =>
    nodes
      .map((n) => {
        if (typeof n === "string") return n;
        if (n.t === "br" || n.t === "hr") return "\n";
        if (n.t === "check") return "";
        const inner = say(n.c);
        if (/^[uo]l$/.test(n.t)) return `\n${inner}\n`;
        return /^(p|h\d|li|quote|pre|tr|ul|ol|table|thead|tbody)$/.test(n.t) ? `${inner}\n` : /^t[hd]$/.test(n.t) ? `${inner}, ` : inner;
      })
      .join("");
  return say(parse(text)).replace(/, \n/g, "\n").replace(/\n\s*/g, "\n").trim();
}

/** @param {string} text */
function splitLines(text) {
  return text.split("\n").map((l) => (l.endsWith("\r") ? l.slice(0, -1) : l).replaceAll("\r", " "));
}

/**
 * @param {Block[]} blocks
 * @param {boolean} open whether the last one is still streaming
 * @param {(text: string, open: boolean, cell?: boolean) => Node[]} words
 * @returns {Branch[]}
 */
function toTree(blocks, open, words) {
  return blocks.map((b, i) => branch(b, open && i === blocks.length - 1, words));
}

/**
 * @param {Block} b
 * @param {boolean} open
 * @param {(text: string, open: boolean, cell?: boolean) => Node[]} words
 * @returns {Branch}
 */
function branch(b, open, words) {
  const text = b.text ?? "";
  switch (b.t) {
    case "p":
      return { t: "p", c: words(text, open) };
    case "h":
      return { t: `h${b.level}`, c: words(text, open) };
    case "pre":
      return { t: "pre", lang: b.lang, c: text ? [plain(text)] : [] };
    case "math":
      return { t: "p", c: [{ t: "code", math: true, c: [plain(text)] }] };
    case "quote":
      return { t: "quote", c: toTree(b.items ?? [], open, words) };
    case "ul":
    case "ol":
      return {
        t: b.t,
        first: b.t === "ol" ? b.first : undefined,
        loose: b.loose,
        c: (b.items ?? []).map((li, i, all) => listItem(li, !!b.loose, open && i === all.length - 1, words)),
      };
    case "table": {
      const [head, ...body] = (b.rows ?? []).map((row, n) => ({
        t: "tr",
        c: row.map((cell, k) => ({ t: n ? "td" : "th", align: b.aligns?.[k] ?? "", c: words(cell, false, true) })),
      }));
      return { t: "table", c: [{ t: "thead", c: [head] }, { t: "tbody", c: body }] };
    }
    default:
      return { t: b.t, c: [] };
  }
}

/**
 * @param {Block} li
 * @param {boolean} loose
 * @param {boolean} open
 * @param {(text: string, open: boolean, cell?: boolean) => Node[]} words
 * @returns {Branch}
 */
function listItem(li, loose, open, words) {
  const c = toTree(li.items ?? [], open, words).flatMap((n) => (n.t === "p" && !loose ? n.c : [n]));
  if (li.done != null) c.unshift({ t: "check", done: li.done, c: [] });
  return { t: "li", task: li.done != null, c };
}

/**
 * The rendered form of a node.
 * @typedef {object} Mirror
 * @property {Node} node
 * @property {ChildNode} el
 * @property {ParentNode & Element} [body] the parent of its children; often el itself
 * @property {Mirror[]} kids
 */

/** Renders a message's text; call it with the longer text as it arrives. */
export class Markdown {
  /** @type {Mirror[]} */
  #tail = [];
  #text = "";
  #done = false;
  #from = 0; // where the open end begins
  /** @type {Map<string, Node[]>} inline trees of the last parse */
  #known = new Map();

  /**
   * @param {Element} root the parent of the blocks; no other code may change its children
   * @param {{copy: string, table: string}} labels
   */
  constructor(root, labels) {
    this.root = root;
    this.labels = labels;
  }

  /**
   * Shows a text. `done` means that it is complete.
   * @param {string} text
   * @param {boolean} done
   */
  update(text, done) {
    if (text.length > maxMessage) {
      text = text.slice(0, maxMessage) + "…";
      done = true;
    }
    if (text === this.#text && done === this.#done) return;
    if (this.#done || !text.startsWith(this.#text)) this.#clear();
    this.#text = text;
    this.#done = done;
    const lines = splitLines(text.slice(this.#from));
    const complete = done ? lines.length : lines.length - 1;
    if (!done && lines.length && unclear.test(lines[lines.length - 1])) lines.pop();
    const { blocks } = parseBlocks(lines);
    /** @type {Map<string, Node[]>} */
    const known = new Map();
    const next = toTree(blocks, !done, (s, open, cell) => {
      if (open) return inline(s, true);
      const key = cell ? `|${s}` : `p${s}`;
      const words = known.get(key) ?? this.#known.get(key) ?? inline(s, false, cell);
      known.set(key, words);
      return words;
    });
    this.#known = known;
    this.#patch(this.root, this.#tail, next);
    // Only a block that begins on complete lines finishes the blocks before it.
    let last = blocks.length - 1;
    while (last > 0 && blocks[last].firm >= complete) last--;
    if (last > 0) {
      this.#tail.splice(0, last);
      this.#from = lineStart(text, this.#from, blocks[last].start);
    }
  }

  #clear() {
    this.root.replaceChildren();
    this.#tail = [];
    this.#text = "";
    this.#from = 0;
  }

  /**
   * Makes the last children of an element match `next`.
   * @param {Element} parent
   * @param {Mirror[]} now
   * @param {Node[]} next
   */
  #patch(parent, now, next) {
    while (now.length > next.length) parent.removeChild(/** @type {Mirror} */ (now.pop()).el);
    next.forEach((node, i) => {
      const old = now[i];
      if (!old) {
        now.push(this.#build(node));
        parent.appendChild(now[i].el);
      } else if (old.node !== node && !this.#same(old, node)) {
        now[i] = this.#build(node);
        parent.replaceChild(now[i].el, old.el);
      }
    });
  }

  /**
   * Updates the rendered node to `node` if both are of the same kind.
   * @param {Mirror} old
   * @param {Node} node
   */
  #same(old, node) {
    const was = old.node;
    if (typeof was === "string" || typeof node === "string") {
      if (typeof was !== "string" || typeof node !== "string") return false;
      const data = /** @type {Text} */ (old.el);
      if (node.startsWith(was)) data.appendData(node.slice(was.length));
      else data.data = node;
    } else {
      for (const key of ["t", "href", "lang", "first", "loose", "align", "done", "task", "math"]) if (was[key] !== node[key]) return false;
      if (was.c !== node.c && old.body) this.#patch(old.body, old.kids, node.c);
    }
    old.node = node;
    return true;
  }

  /** @param {Node} node @returns {Mirror} */
  #build(node) {
    if (typeof node === "string") return { node, el: doc.createTextNode(node), kids: [] };
    const { el, body } = element(node, this.labels);
    /** @type {Mirror[]} */
    const kids = [];
    if (body) this.#patch(body, kids, node.c);
    return { node, el, body, kids };
  }
}

/** @param {string} text @param {number} from @param {number} line */
function lineStart(text, from, line) {
  for (; line > 0; line--) from = text.indexOf("\n", from) + 1;
  return from;
}

/**
 * Creates the element of one node, without its children.
 * @param {Branch} node
 * @param {{copy: string, table: string}} labels
 * @returns {{el: Element, body?: Element}}
 */
function element(node, labels) {
  /** @param {string} tag @param {Record<string, string>} [attrs] @param {...Element} kids */
  const make = (tag, attrs = {}, ...kids) => {
    const el = doc.createElement(tag);
    for (const [k, v] of Object.entries(attrs)) el.setAttribute(k, v);
    for (const kid of kids) el.appendChild(kid);
    return el;
  };
  switch (node.t) {
    case "a": {
      const el = make("a", { href: node.href, title: node.href, target: "_blank", rel: "noopener noreferrer nofollow" });
      return { el, body: el };
    }
    case "pre": {
      const body = make("code");
      const lang = make("span", { class: "lang" });
      lang.textContent = node.lang;
      const copy = make("button", { class: "copy", "data-copy": "" });
      copy.textContent = labels.copy;
      const pre = make("pre", { tabindex: "0", dir: "ltr" }, body);
      return { el: make("div", { class: "code", part: "code" }, make("div", { class: "bar" }, lang, copy), pre), body };
    }
    case "table": {
      const body = make("table");
      return { el: make("div", { class: "table", role: "region", tabindex: "0", "aria-label": labels.table }, body), body };
    }
    case "check": {
      const el = make("input", { type: "checkbox", disabled: "", ...(node.done ? { checked: "" } : {}) });
      el.setAttribute("aria-label", node.done ? "✓" : "–");
      return { el };
    }
    case "br":
    case "hr":
      return { el: make(node.t) };
    default: {
      // The page's own headings are above the chat's.
      const heading = /^h(\d)$/.exec(node.t);
      const tag = heading ? `h${Math.min(6, Number(heading[1]) + 2)}` : node.t === "quote" ? "blockquote" : node.t;
      const el = make(tag, /^([uo]l|quote)$/.test(node.t) ? { dir: "auto" } : {});
      if (heading) el.setAttribute("class", node.t);
      if (node.align) el.setAttribute("class", node.align);
      if (node.t === "ol" && node.first !== 1) el.setAttribute("start", String(node.first));
      if (node.task) el.setAttribute("class", "task");
      if (node.loose) el.setAttribute("class", "loose");
      if (node.math) el.setAttribute("class", "math");
      return { el, body: el };
    }
  }
}
