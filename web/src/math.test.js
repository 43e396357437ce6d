import assert from "node:assert/strict";
import { test } from "node:test";
import { stubRoot } from "./dom-stub.js";
import { Markdown, parse, spoken } from "./markdown.js";

/** @param {any} node @returns {string} */
function html(node) {
  if (typeof node === "string") return node;
  return node.t === "br" || node.t === "hr" ? `<${node.t}>` : `<${node.t}>${node.c.map(html).join("")}</${node.t}>`;
}
const shown = (text) => parse(text).map(html).join("");

test("mathematics keeps its source", () => {
  for (const [text, want] of [
    ["Let \\(a_1 * b_2 * c\\) be", "<p>Let <code>\\(a_1 * b_2 * c\\)</code> be</p>"],
    ["其中\\(x^2\\)是面积，\\(\\frac{1}{2}\\)", "<p>其中<code>\\(x^2\\)</code>是面积，<code>\\(\\frac{1}{2}\\)</code></p>"],
    ["面積は$$x_1 + y_1$$です", "<p>面積は<code>$$x_1 + y_1$$</code>です</p>"],
    ["넓이 \\[a\\\\[2pt] b\\] 끝", "<p>넓이 <code>\\[a\\\\[2pt] b\\]</code> 끝</p>"],
    ["المساحة \\(س^2\\) هنا", "<p>المساحة <code>\\(س^2\\)</code> هنا</p>"],
    ["พื้นที่ $$\\pi r^2$$ คือ", "<p>พื้นที่ <code>$$\\pi r^2$$</code> คือ</p>"],
    ["$$\na &= b \\\\\n- c\n# d\n$$\nafter", "<p><code>$$\na &= b \\\\\n- c\n# d\n$$</code></p><p>after</p>"],
    ["so\n\\[\nx = 1\n\\]\n- item", "<p>so</p><p><code>\\[\nx = 1\n\\]</code></p><ul><li>item</li></ul>"],
    ["\\[ x = \\begin{cases}\n1 \\\\\n- 2\n\\end{cases} \\]", "<p><code>\\[ x = \\begin{cases}\n1 \\\\\n- 2\n\\end{cases} \\]</code></p>"],
    ["- a\n\n  $$\n  x\n  $$\n- b", "<ul><li><p>a</p><p><code>$$\nx\n$$</code></p></li><li><p>b</p></li></ul>"],
    ["so $$a\n$$ it is", "<p>so <code>$$a\n$$</code> it is</p>"],
    ["|a|\n|-|\n|\\(x_1 y_1\\)|", "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td><code>\\(x_1 y_1\\)</code></td></tr></tbody></table>"],
    // Not formulas
    ["\\[not a_link](x=1) \\(!\\) \\(\\)", "<p>[not a_link](x=1) (!) ()</p>"],
    ["it costs $5 or $$ and 10$", "<p>it costs $5 or $$ and 10$</p>"],
    ["$$ signs\n- a", "<p>$$ signs</p><ul><li>a</li></ul>"],
    ["`\\(x\\)` and \\\\(y\\\\)", "<p><code>\\(x\\)</code> and \\(y\\)</p>"],
    ["$$\nnever closed\n\n**b**", "<p><code>$$\nnever closed</code></p><p><strong>b</strong></p>"],
  ]) {
    assert.equal(shown(text), want, text);
  }
  assert.equal(spoken("Let \\(x_1\\) be"), "Let \\(x_1\\) be");
});

test("mathematics does not depend on the pieces it comes in", () => {
  const text = "Let \\(a_1\\) and\n$$\nb \\\\\n- c\n$$\nthen \\[d\n= e\\] so $$f\n$$ and\n\n\\[ g_1\nh \\]\n\n1. x\n   $$\n   y\n   $$\n";
  const whole = stubRoot();
  new Markdown(whole, { copy: "", table: "" }).update(text, true);
  for (let step = 1; step < 9; step++) {
    const root = stubRoot();
    const markdown = new Markdown(root, { copy: "", table: "" });
    for (let at = step; at < text.length; at += step) markdown.update(text.slice(0, at), false);
    markdown.update(text, true);
    assert.equal(String(root), String(whole), `in pieces of ${step}`);
  }
});

test("a formula of its own stands on its own", () => {
  const root = stubRoot();
  const markdown = new Markdown(root, { copy: "", table: "" });
  markdown.update("`a", false);
  assert.doesNotMatch(String(root), /class="math"/);
  markdown.update("$$\na\n$$\n\n\\(b\\)", true);
  assert.match(String(root), /<code class="math">\$\$\na\n\$\$<\/code>.*<code>\\\(b\\\)<\/code>/s);
});

test("a formula that is still being written is shown as one", () => {
  const root = stubRoot();
  const markdown = new Markdown(root, { copy: "", table: "" });
  markdown.update("Let \\(a_1 * b", false);
  assert.match(String(root), /<code>\\\(a_1 \* b<\/code>/);
  markdown.update("Let \\(a_1 * b\\) be", true);
  assert.match(String(root), /<code>\\\(a_1 \* b\\\)<\/code> be/);
});

test("a line breaks in a table's cell, and all other HTML is text", () => {
  const table = (cell) => `<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>${cell}</td></tr></tbody></table>`;
  for (const [cell, want] of [
    ["x<br>y", "x<br>y"], ["一<br/>二", "一<br>二"], ["一<br />二<BR>三", "一<br>二<br>三"], ["하나<br>둘", "하나<br>둘"], ["واحد<br>اثنان", "واحد<br>اثنان"], ["หนึ่ง<br>สอง", "หนึ่ง<br>สอง"],
    ["**x<br>y**", "<strong>x<br>y</strong>"], ["`x<br>y`", "<code>x<br>y</code>"], ["\\<br>", "<br>"],
    ["<b>x</b> <br class=y> <brx> <hr>", "<b>x</b> <br class=y> <brx> <hr>"],
  ]) {
    assert.equal(shown(`|a|\n|-|\n|${cell}|`), table(want), cell);
  }
  const [t] = parse("|a|\n|-|\n|x<br>y|");
  assert.deepEqual(t.c[1].c[0].c[0].c, ["x", { t: "br", c: [] }, "y"]);
  assert.deepEqual(parse("|a|\n|-|\n|`x<br>y` \\<br> <img src=x>|")[0].c[1].c[0].c[0].c, [{ t: "code", c: ["x<br>y"] }, " <br> <img src=x>"]);
  assert.deepEqual(parse("x<br>y")[0].c, ["x<br>y"]);
  assert.deepEqual(parse("- x<br>y\n\n> <br/>")[0].c[0].c, ["x<br>y"]);
  // The same text differs in a paragraph and in a cell.
  const root = stubRoot();
  new Markdown(root, { copy: "", table: "" }).update("x<br>y\n\n|a|\n|-|\n|x<br>y|\n\nx<br>y", true);
  assert.equal(String(root).match(/x&lt;br>y/g)?.length, 2);
  assert.equal(String(root).match(/<br><\/br>/g)?.length, 1);
});
