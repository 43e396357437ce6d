import assert from "node:assert/strict";
import { Session } from "node:inspector/promises";
import { test } from "node:test";

// The engine counts executions: exact, where a clock would measure the machine. It counts only code that it
// compiles from now on, so the parser is imported afterwards.
const inspector = new Session();
inspector.connect();
await inspector.post("Profiler.enable");
await inspector.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
const { parse } = await import("./markdown.js");

/** Texts that would make a careless parser too deep or too slow. */
const bombs = {
  brackets: "[", pictures: "![", stars: "*", spaced: "*a ", mixed: "a*b_c~d", quotes: ">", ticks: "`a``b```c", lists: "- ", links: "[a](", targets: "[a](<b", titles: '[a](b "', nested: "[a](https://b.c)](",
  cells: "|a", rows: "|a|b|\n|-|-|\n|x|**y**|\n", items: "- a\n", inner: "- a\n  - b\n", addresses: "[http://a.b ", mails: "<a@b", spaces: " ", tabs: "\t", tabbed: "-\t", hashes: " #", entities: "&a", numbers: "&#1", angles: "<a:",
  lines: "a\n", blanks: "\n", quoted: "> a\n", fences: "```\n", tildes: "~", openers: "**a *b ", closers: "c* d** ", parens: "https://a.b/(", escapes: "\\", rules: "- - ", marks: "e\u0301\u0301", overrides: "\u202e", setext: "a\n=\n", underlines: "=", strangers: "*a_ ", formulas: "\\(a ", displays: "\\[a\n", dollars: "$$a ", single: "$$ $", closed: "\\(\\) ", glued: "www.a.bc漢", hosts: "[a.b c.d](https://x.y) ", wide: "**（漢）**漢",
};

test("bombs are defused: however they nest, the tree stays shallow", () => {
  const depth = (node) => (typeof node === "string" ? 0 : 1 + node.c.reduce((d, c) => Math.max(d, depth(c)), 0));
  const stairs = Array.from({ length: 350 }, (_, i) => " ".repeat(i) + "- x").join("\n");
  const deep = "**a *b ".repeat(4000) + "c* d** ".repeat(4000);
  for (const [name, text] of [...Object.entries(bombs).map(([k, unit]) => [k, unit.repeat((1 << 16) / unit.length)]), ["stairs", stairs], ["deep", deep]]) {
    const deepest = parse(text).reduce((d, b) => Math.max(d, depth(b)), 0);
    assert.ok(deepest < 80, `${name}: depth ${deepest}`);
  }
});

test("eight times the text is at most eight times the work, whatever it is", async () => {
  const counts = async () => (await inspector.post("Profiler.takePreciseCoverage")).result;
  const cost = async (text) => {
    await counts(); // resets the counts
    parse(text);
    const ours = (await counts()).filter((file) => file.url.includes("/web/src/"));
    return ours.flatMap((file) => file.functions).flatMap((f) => f.ranges).reduce((sum, range) => sum + range.count, 0);
  };
  for (const [name, unit] of Object.entries(bombs)) {
    const text = unit.repeat((1 << 16) / unit.length);
    const [one, eight] = [await cost(text.slice(0, 1 << 13)), await cost(text)];
    assert.ok(one > 0 && eight < 9 * one, `${name}: ${one} steps, then ${eight}`);
  }
});
