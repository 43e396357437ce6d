// Writing systems: an agent's text in six scripts, as rendered.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { FakeRelay, startSite } from "./fake-relay.mjs";
import { composer, eventually, launch, open, say, settled } from "./helpers.mjs";

let browser;
let relay;
let context;
before(async () => {
  browser = await launch();
});
after(() => browser.close());
beforeEach(async () => {
  relay = await new FakeRelay().start();
  context = await browser.newContext({ locale: "en-US" });
});
afterEach(async () => {
  await context.close();
  await relay.stop();
});

const answer = (page) => page.locator("relay-chat [data-role=agent] .text").last();

test("marks, addresses, tables and formulas are shown in every script", async () => {
  for (const [text, bold, link, table, formula] of [
    ["**Note:** see https://example.com. Let \\(a_1 * b_2\\) be.\n\n|a|\n|-|\n|x<br>y|", "Note:", "https://example.com", "x\ny", "\\(a_1 * b_2\\)"],
    ["请在**打开（必须）**后访问 https://example.com。谢谢\\(a_1 * b_2\\)\n\n|甲|\n|-|\n|一<br>二|", "打开（必须）", "https://example.com", "一\n二", "\\(a_1 * b_2\\)"],
    ["これは**「重要」**です。https://example.com、$$a_1 * b_2$$\n\n|あ|\n|-|\n|一<br/>二|", "「重要」", "https://example.com", "一\n二", "$$a_1 * b_2$$"],
    ["**설정(필수)**을 https://example.com에서 5~7분, 100~200원 \\[a_1 * b_2\\]\n\n|가|\n|-|\n|하나<br />둘|", "설정(필수)", "https://example.com", "하나\n둘", "\\[a_1 * b_2\\]"],
    ["**ملاحظة:** زوروا https://example.com؟ \\(a_1 * b_2\\)\n\n|أ|\n|-|\n|واحد<br>اثنان|", "ملاحظة:", "https://example.com", "واحد\nاثنان", "\\(a_1 * b_2\\)"],
    ["**หมายเหตุ** ดูที่https://example.comครับ \\(a_1 * b_2\\)\n\n|ก|\n|-|\n|หนึ่ง<br>สอง|", "หมายเหตุ", "https://example.com", "หนึ่ง\nสอง", "\\(a_1 * b_2\\)"],
  ]) {
    relay.agent = (r, v) => {
      for (const piece of text.match(/[^]{1,7}/g)) r.emit(v, "text", { text: piece, delta: true });
      r.emit(v, "text", { text: text.normalize("NFD").normalize("NFC"), delta: false });
      r.emit(v, "turn_end", { reason: "done" });
    };
    const page = await open(context, relay.url);
    await say(page, "go");
    await eventually(async () => assert.equal(await answer(page).locator("strong").textContent(), bold));
    await settled(page);
    assert.equal(await answer(page).locator("a").textContent(), link);
    assert.equal(await answer(page).locator("a").getAttribute("href"), `${link}/`);
    await eventually(async () => assert.equal(await answer(page).locator("td").innerText(), table)); // empty until it is drawn
    assert.equal(await answer(page).locator("code").textContent(), formula);
    assert.equal(await answer(page).locator("del, em").count(), 0);
    assert.deepEqual(page.wrong, []);
    await page.close();
    await context.close();
    context = await browser.newContext({ locale: "en-US" });
  }
});

test("words are shown before the part that shows their markup is here", async () => {
  let held = [];
  relay.fault = (req, res, path) => {
    if (!path.startsWith("/assets/markdown.") || !held) return false;
    held.push(res);
    return true;
  };
  relay.agent = (r, v) => {
    r.emit(v, "text", { text: "**Bold** <b>\nnext", delta: false });
    r.emit(v, "turn_end", { reason: "done" });
  };
  const page = await open(context, relay.url);
  await composer(page).waitFor();
  assert.ok(!relay.requests.some((r) => /markdown/.test(r.path)), "nothing is fetched before it is needed");
  await say(page, "go");
  await eventually(async () => assert.equal(await answer(page).innerText(), "**Bold** <b>\nnext"));
  const first = held;
  held = null;
  for (const res of first) res.writeHead(503).end();
  await eventually(async () => assert.equal(await answer(page).locator("strong").textContent(), "Bold", "it is fetched again"));
  assert.equal(await answer(page).textContent(), "Bold <b>\nnext");
  assert.deepEqual(page.wrong, []);
});

test("an event that is too large is noted, and asked for once", async () => {
  relay.agent = (r, v) => {
    r.emit(v, "text", { text: "Before.", delta: false });
    r.emit(v, "text", { text: "x".repeat((4 << 20) + 1), delta: false });
    r.emit(v, "text", { text: "After.", delta: false });
    r.emit(v, "turn_end", { reason: "done" });
  };
  const page = await open(context, relay.url);
  await say(page, "go");
  await eventually(async () => assert.equal(await page.locator("relay-chat .note").textContent(), "Part of the conversation is too large to display."));
  await eventually(async () => assert.deepEqual(await page.locator("relay-chat [data-role=agent] .text").allTextContents(), ["Before.", "After."]));
  const streams = () => relay.requests.filter((r) => r.path === "/v1/events");
  const before = streams().length;
  relay.cut(relay.only);
  await eventually(() => assert.ok(streams().length > before));
  assert.equal(streams().at(-1).headers["last-event-id"], "1-4", "behind it");
});

test("what an approval does not show is told before it is allowed", async () => {
  const asks = {
    whole: { input: { command: "ls" } },
    long: { input: { command: `echo ${"x".repeat(12_000)}; rm -rf /` } },
    shortened: { input: { command: "make" }, truncated: true },
    hidden: { input: { command: "rm \u202ecod.txt\u2066 a\u200bb" } },
    more: { input: { file_path: "a.txt", content: "何か" } },
  };
  relay.agent = (r, v, text) => r.emit(v, "approval", { id: text, tool: "Bash", ...asks[text] });
  const page = await open(context, relay.url);
  const card = page.locator("relay-chat .approval").last();
  const allow = card.locator(".strong");
  const warning = card.locator(".unseen");
  const ask = async (name) => {
    await say(page, name);
    await eventually(async () => assert.equal(await page.locator("relay-chat .approval .strong").count(), Object.keys(asks).indexOf(name) + 1));
  };
  await ask("whole");
  assert.deepEqual([await allow.textContent(), await warning.isVisible()], ["Allow", false]);
  await ask("long");
  assert.equal(await allow.textContent(), "Allow including hidden parts");
  assert.match(await warning.textContent(), /^Only the first 10,000 characters are shown\. The rest runs too if you allow it\./);
  assert.equal(await allow.evaluate((el) => el.ariaDescription), "Only the first 10,000 characters are shown. The rest runs too if you allow it.");
  await card.getByRole("button", { name: "Show all" }).click();
  assert.match(await card.locator(".gist").textContent(), /rm -rf \/$/);
  assert.deepEqual([await allow.textContent(), await warning.isVisible()], ["Allow", false]);
  await ask("shortened");
  assert.equal(await allow.textContent(), "Allow including hidden parts");
  assert.match(await warning.textContent(), /was shortened/);
  assert.equal(await card.getByRole("button", { name: "Show all" }).isVisible(), false);
  await ask("hidden");
  assert.equal(await card.locator(".gist").textContent(), "rm ⟨U+202E⟩cod.txt⟨U+2066⟩ a⟨U+200B⟩b");
  await ask("more");
  assert.equal(await card.locator("details pre").isVisible(), true, "what a path leaves out is seen at once");
  assert.deepEqual(page.wrong, []);
});

test("a site of another language than its visitor's is unaffected", async () => {
  const site = await startSite(`<!doctype html><html lang="th"><title>เว็บ</title><script async src="${relay.url}widget.js" data-open></script></html>`);
  relay.agent = (r, v) => {
    r.emit(v, "text", { text: "สวัสดี **ครับ**", delta: false });
    r.emit(v, "turn_end", { reason: "done" });
  };
  const page = await open(context, site.url);
  await say(page, "go");
  await settled(page);
  assert.equal(await answer(page).innerHTML().then((t) => t.replace(/<(\w+)[^>]*>/g, "<$1>")), "<p>สวัสดี <strong>ครับ</strong></p>");
  await site.stop();
});
