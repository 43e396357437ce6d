import assert from "node:assert/strict";
import { test } from "node:test";
import { stubRoot } from "./dom-stub.js";
import { Markdown, parse, spoken } from "./markdown.js";

const labels = { copy: "Copy", table: "Table" };

/** The result for a whole text, without attributes common to all elements of a kind. */
function html(text) {
  const root = stubRoot();
  new Markdown(root, labels).update(text, true);
  return root.children.join("").replace(/ (dir|target|rel|title|part|tabindex|role|aria-label|type|data-copy)="[^"]*"/g, "");
}

/** Pseudorandom numbers that are the same in every run. */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const sample = `# Title

Intro with **bold**, *soft* and ***both***, snake_case_word, \`co*de\`, ~~gone~~ and https://example.com/a_(b).
A second line\\
with a hard break.

- one
- two
  - nested **x**
    1. deep
    2. deeper
- [x] task
- [ ] other

7. seven
8. eight

   loose paragraph

> quote
> > nested quote
lazy line

\`\`\`go
func main() {
	a := "b"

}
\`\`\`

| name | n |
|:-----|--:|
| a \\| b | 1 |
| **c** | \`d\` |

Setext
------

***

    indented code

[link](https://example.com "t") and ![picture](https://example.com/x.png) <https://example.com>
Unclosed **bold and \`tick
`;

test("inline marks follow CommonMark", () => {
  for (const [text, want] of [
    ["*a* **b** ***c***", "<em>a</em> <strong>b</strong> <em><strong>c</strong></em>"],
    ["snake_case_word and 2 * 3 * 4", "snake_case_word and 2 * 3 * 4"],
    ["foo*bar*baz **a**b", "foo<em>bar</em>baz <strong>a</strong>b"],
    ["__a__ _b_ a_b_", "<strong>a</strong> <em>b</em> a_b_"],
    ["**foo*bar**baz*", "<strong>foo*bar</strong>baz*"],
    ["*foo**bar**baz*", "<em>foo<strong>bar</strong>baz</em>"],
    ["~~x~~ ~y~ ~~~z~~~", "<del>x</del> ~y~ ~~~z~~~"],
    ["`` a`b `` ` x ` `*y*`", "<code>a`b</code> <code>x</code> <code>*y*</code>"],
    ["\\*no\\* &amp;&#42;&nope;", "*no* &amp;*&amp;nope;"],
    ["你好**世界**。", "你好<strong>世界</strong>。"],
    ["a  \nb\\\nc\nd", "a<br></br>b<br></br>c\nd"],
  ]) {
    assert.equal(html(text), `<p>${want}</p>`, text);
  }
});

test("blocks follow CommonMark and the tables of GFM", () => {
  for (const [text, want] of [
    ["# a #\n## b", '<h3 class="h1">a</h3><h4 class="h2">b</h4>'],
    ["a\n===\nb\n---", '<h3 class="h1">a</h3><h4 class="h2">b</h4>'],
    ["- a\n- b\n  - c\n- d", "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>"],
    ["- a\n\n- b", '<ul class="loose"><li><p>a</p></li><li><p>b</p></li></ul>'],
    ["3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'],
    ["- a\n* b", "<ul><li>a</li></ul><ul><li>b</li></ul>"],
    ["> a\nb\n\nc", "<blockquote><p>a\nb</p></blockquote><p>c</p>"],
    ["a\n- b", "<p>a</p><ul><li>b</li></ul>"],
    ["a\n2. b", "<p>a\n2. b</p>"],
    ["```js x\n<b>\n```\nz", '<div class="code"><div class="bar"><span class="lang">js</span><button class="copy">Copy</button></div><pre><code>&lt;b></code></pre></div><p>z</p>'],
    ["|a|b|\n|-|:-:|\n|1|", '<div class="table"><table><thead><tr><th>a</th><th class="center">b</th></tr></thead><tbody><tr><td>1</td><td class="center"></td></tr></tbody></table></div>'],
    ["a | b\nc", "<p>a | b\nc</p>"],
    ["- [x] a\n- [ ] b", '<ul><li class="task"><input disabled="" checked=""></input>a</li><li class="task"><input disabled=""></input>b</li></ul>'],
    ["***\n- - -", "<hr></hr><hr></hr>"],
    ["a\r\nb\r\n\r\nc", "<p>a\nb</p><p>c</p>"],
  ]) {
    assert.equal(html(text), want, text);
  }
});

test("links lead only where a visitor may be led", () => {
  for (const [text, href, words] of [
    ["[a](https://example.com/x)", "https://example.com/x", "a"],
    ["[a](<https://example.com/a b>)", "https://example.com/a%20b", "a"],
    ["[a](mailto:x@example.com)", "mailto:x@example.com", "a"],
    ["<x@example.com>", "mailto:x@example.com", "x@example.com"],
    ["www.example.com", "https://www.example.com/", "www.example.com"],
    ["![beacon](https://evil.example/leak?d=1)", "https://evil.example/leak?d=1", "beacon"],
    ["[good.example](https://evil.example/)", "https://evil.example/", "good.example (evil.example)"],
    ["[https://good.example/a](https://evil.example/)", "https://evil.example/", "https://good.example/a (evil.example)"],
    ["[good.example](https://www.good.example/)", "https://www.good.example/", "good.example"],
  ]) {
    const [p] = parse(text);
    const a = p.c.find((n) => n.t === "a");
    assert.equal(a?.href, href, text);
    assert.equal(a.c.join(""), words, text);
  }
  const root = stubRoot();
  new Markdown(root, labels).update("[a](https://example.com)", true);
  assert.match(String(root), /<a href="https:\/\/example.com\/" title="https:\/\/example.com\/" target="_blank" rel="noopener noreferrer nofollow">/);
});

test("hostile text stays text", () => {
  const hostile = [
    "[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))", "[x](java\tscript:alert(1))", "[x](java&#10;script:alert(1))",
    "[x](javascript&colon;alert(1))", "[x](&#106;avascript:alert(1))", "[x](\u0001javascript:alert(1))", "[x]( javascript:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)", "[x](vbscript:x)", "[x](//evil.example)", "[x](/\\evil.example)", "[x](file:///etc/passwd)",
    "[x](blob:null/x)", "<javascript:alert(1)>", "<data:text/html,x>", "![x](javascript:alert(1))", "[x](<javascript:alert(1)>)",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "<!-- c --><iframe src=x>", "<a href='javascript:x' ping=y>z</a>",
    '```"><img src=x onerror=alert(1)>\nx\n```', "|<script>|\n|-|\n|<img onerror=x>|", "# <b onclick=x>", "> <style>*{}</style>", "- <form action=x>",
    "[x]: javascript:alert(1)\n\n[x]", "$$\\href{javascript:alert(1)}{x}$$", "```mermaid\nclick A javascript:alert(1)\n```",
  ];
  const allowed = /^(p|div|span|button|pre|code|table|thead|tbody|tr|th|td|h3|blockquote|ul|li|root|em|strong|br)$/;
  for (const text of hostile) {
    const root = stubRoot();
    new Markdown(root, labels).update(text, true);
    const walk = (n) => {
      if (!n.tag) return;
      assert.match(n.tag, allowed, text);
      for (const name of Object.keys(n.attributes)) assert.doesNotMatch(name, /^on|src|style|ping/, text);
      n.children.forEach(walk);
    };
    walk(root);
  }
});

test("direction overrides and piles of marks are taken out", () => {
  assert.equal(html("a\u202egnp.exe\u2066b\0"), "<p>agnp.exeb</p>");
  const pile = html("z" + "\u0301".repeat(10000));
  assert.ok(pile.length < 30, `got ${pile.length} characters`);
});

test("what is shown does not depend on the chunks it came in", () => {
  const want = html(sample);
  const rnd = random(7);
  for (let run = 0; run < 500; run++) {
    const root = stubRoot();
    const markdown = new Markdown(root, labels);
    const max = 1 + Math.floor(rnd() * 40);
    for (let at = 0; at < sample.length; ) {
      at += 1 + Math.floor(rnd() * max);
      markdown.update(sample.slice(0, at), false);
    }
    markdown.update(sample, true);
    const got = root.children.join("").replace(/ (dir|target|rel|title|part|tabindex|role|aria-label|type|data-copy)="[^"]*"/g, "");
    assert.equal(got, want, `run ${run}`);
  }
});

test("random marks do not depend on the chunks either", () => {
  const rnd = random(11);
  const alphabet = ["*", "**", "_", "`", "```", "[", "](", ")", "> ", "- ", "1. ", "\n", "\n\n", "    ", "| ", "|-|-|\n", "a", "b ", "# ", "---", "===", "~~", "\\", "\r\n", "\t", "<", "&amp;", "http://x.y", "😀", "é"];
  for (let run = 0; run < 500; run++) {
    let text = "";
    for (let n = 0; n < 60; n++) text += alphabet[Math.floor(rnd() * alphabet.length)];
    const root = stubRoot();
    const markdown = new Markdown(root, labels);
    for (let at = 1; at < text.length; at += 1 + Math.floor(rnd() * 5)) markdown.update(text.slice(0, at), false);
    markdown.update(text, true);
    const whole = stubRoot();
    new Markdown(whole, labels).update(text, true);
    assert.equal(String(root), String(whole), JSON.stringify(text));
  }
});

test("a mark that waits for its partner is shown as if it had come", () => {
  for (const [text, want] of [
    ["a **bold te", "<p>a <strong>bold te</strong></p>"],
    ["a `co", "<p>a <code>co</code></p>"],
    ["see [the docs](https://exa", "<p>see the docs</p>"],
    ["done **bold**", "<p>done <strong>bold</strong></p>"],
    ["text\n--", "<p>text</p>"],
    ["a **", "<p>a </p>"],
  ]) {
    const root = stubRoot();
    new Markdown(root, labels).update(text, false);
    assert.equal(root.children.join("").replace(/ dir="auto"/g, ""), want, text);
  }
});

test("nodes of finished text are left alone", () => {
  const root = stubRoot();
  const markdown = new Markdown(root, labels);
  markdown.update("first\n\n- a\n- b", false);
  const [p, ul] = root.children;
  const [a] = ul.children;
  markdown.update("first\n\n- a\n- b and more\n- c", false);
  assert.equal(root.children[0], p);
  assert.equal(root.children[1], ul);
  assert.equal(ul.children[0], a);
  assert.equal(ul.children.length, 3);
});

test("a text is read aloud without its markup", () => {
  assert.equal(spoken("# Hi\n\nSome **bold** [link](https://x.y)\n\n- a\n  - b\n\n|x|y|\n|-|-|\n|1|2|"), "Hi\nSome bold link\na\nb\nx, y\n1, 2");
});
