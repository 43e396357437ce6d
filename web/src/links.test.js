// A link's target must match its text.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "./markdown.js";

/** The links of a text as [text, URL]. @param {string} text */
function links(text) {
  const found = [];
  const walk = (n) => {
    if (typeof n === "string") return;
    if (n.t === "a") found.push([n.c.map((c) => (typeof c === "string" ? c : c.c.join(""))).join(""), n.href]);
    else n.c.forEach(walk);
  };
  parse(text).forEach(walk);
  return found;
}

test("a bare address ends before the sentence's own marks", () => {
  const site = ["https://example.com", "https://example.com/"];
  const page = ["https://example.com/a?b=1#c", "https://example.com/a?b=1#c"];
  for (const [text, ...want] of [
    // Chinese
    ["请访问 https://example.com。谢谢", site],
    ["请访问https://example.com，或者（https://example.com/a?b=1#c）。", site, page],
    ["“https://example.com”《https://example.com》【https://example.com】", site, site, site],
    ["见**https://example.com**后面", site],
    ["请访问https://example.com谢谢", site],
    // Japanese
    ["「https://example.com」を見て、https://example.com/a?b=1#c！", site, page],
    ["詳細はwww.example.comへ。", ["www.example.com", "https://www.example.com/"]],
    ["https://example.com．https://example.com･https://example.com〜", site, site, site],
    // Korean
    ["주소는 https://example.com입니다. 『https://example.com』", site, site],
    // Arabic
    ["زوروا https://example.com، أو https://example.com؟ «https://example.com»؛", site, site, site],
    // Thai, Lao, Khmer
    ["ดูที่https://example.comครับ ๛https://example.com๚", site, site],
    ["មើល https://example.com។", site],
    // Latin and others
    ["“https://example.com”, ‘https://example.com’ ‹https://example.com› „https://example.com“", site, site, site, site],
    ["see https://example.com… or https://example.com—now", site, site],
    ["(https://example.com/a_(b)) and https://example.com/a?b=1#c.", ["https://example.com/a_(b)", "https://example.com/a_(b)"], page],
    ["https://example.com/?q=a&copy; and https://example.com/?q=a&b;c", ["https://example.com/?q=a", "https://example.com/?q=a"], ["https://example.com/?q=a&b;c", "https://example.com/?q=a&b;c"]],
    ["देखें https://example.com। https://example.com॥ טקסט https://example.com׃", site, site, site],
    ["https://example.com🎉 https://example.com→", site, site],
    // Letters of every script belong to a path
    ["https://ja.example.org/wiki/日本語、", ["https://ja.example.org/wiki/日本語", "https://ja.example.org/wiki/%E6%97%A5%E6%9C%AC%E8%AA%9E"]],
    ["https://bücher.example/ü https://例え.テスト/。", ["https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"], ["https://例え.テスト/", "https://xn--r8jz45g.xn--zckzah/"]],
    // The author's own brackets disable the rule
    ["<https://example.com/。谢谢>", ["https://example.com/。谢谢", "https://example.com/%E3%80%82%E8%B0%A2%E8%B0%A2"]],
    // Not a URL
    ["https://example https://。com foohttps://example.com a_www.example.com"],
  ]) {
    assert.deepEqual(links(text), want, text);
  }
});

test("a bare address's host is the one that is seen", () => {
  for (const text of ["https://bank.example*evil.example/", "https://bank.example&evil.example", "https://bank.example%2eevil.example/x", "https://bank.example。evil.example/", "https://bank.example／evil.example", "https://bank.example|evil.example"]) {
    for (const [, href] of links(text)) assert.equal(new URL(href).hostname, "bank.example", text);
  }
});

test("a text that reads like another host has the real one behind it", () => {
  const evil = "https://evil.example/";
  for (const text of [
    "bank.example", "bank.example/path", "www.bank.example", "https://bank.example", "HTTP://BANK.EXAMPLE:443/x", "https:bank.example", "https:\\\\bank.example",
    "bank。example", "bank．example", "bank｡example/登录", "ｂａｎｋ.example", "https：／／bank.example", "bank%2eexample", "%62ank.example", "b%61nk%E3%80%82example", "https://bank",
    "bank.example@evil.example", "https://bank@evil.example", "https://evil.example@bank.example", "user@bank.example",
    "xn--80ak6aa92e.com", "аррӏе.com", "银行.example", "银行.中国", "ธนาคาร.ไทย", "بنك.مصر", "은행.한국", "銀行.みんな",
    "Log in at bank.example", "登录 bank.example 继续", "(bank.example)", "“bank.example”", "bank.example.", "`bank.example`", "**bank**.example", "bank.ex\u200bample", "bank.exa\u00admple",
    "192.0.2.7", "https://[2001:db8::1]/", "bank.example?evil.example", "bank.example#evil.example", "bank.example,evil.example", "https://evil.example.bank.example",
  ]) {
    const [[words]] = links(`[${text}](${evil})`);
    assert.match(words, / \(evil\.example\)$/, text);
  }
  for (const text of ["evil.example", "www.evil.example/a?b=bank.example", "https://evil.example:443", "EVIL.example.", "evil。example", "ev%69l.example", "click here", "点击这里。谢谢", "你好。再见", "v1.2.3", "3.14", "5.0 更新", "wait...what", "e.g. this", "a.m./p.m.", "¡Hola! ¿Qué?", "مرحبا. شكرا", "mail@evil.example"]) {
    const [[words]] = links(`[${text}](${evil})`);
    assert.doesNotMatch(words, /\(evil\.example\)$/, text);
  }
});

test("the note is right for every kind of address", () => {
  for (const [text, want] of [
    ["<https://bank.example@evil.example/>", "https://bank.example@evil.example/ (evil.example)"],
    ["https://bank.example@evil.example/", "https://bank.example@evil.example/ (evil.example)"],
    ["[bank.example](https://evil.example:8443/)", "bank.example (evil.example:8443)"],
    ["<https://bank.example\\@evil.example/>", "https://bank.example\\@evil.example/"],
    ["[bank.example](mailto:x@evil.example)", "bank.example (x@evil.example)"],
    ["[a@bank.example](mailto:x@evil.example)", "a@bank.example (x@evil.example)"],
    ["[bank.example](tel:+15550100)", "bank.example (+15550100)"],
    ["<x@evil.example>", "x@evil.example"],
    ["[аррӏе.com](https://xn--80ak6aa92e.com/)", "аррӏе.com (xn--80ak6aa92e.com)"],
    ["https://аррӏе.com/", "https://аррӏе.com/ (xn--80ak6aa92e.com)"],
    ["https://пример.рф/", "https://пример.рф/"],
    ["[例え.テスト](https://例え.テスト/)", "例え.テスト"],
    ["[bücher.example](https://xn--bcher-kva.example)", "bücher.example"],
    ["[http://192.0.2.7/](http://192.0.2.7)", "http://192.0.2.7/"],
    ["<http://[2001:db8::1]/>", "http://[2001:db8::1]/"],
    ["[`a` README.md](https://evil.example)", "a README.md (evil.example)"],
  ]) {
    assert.equal(links(text)[0]?.[0], want, text);
  }
});
