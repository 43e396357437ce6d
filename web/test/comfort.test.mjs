// Times, copying, and notifications for a visitor in another tab.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { FakeRelay, startSite } from "./fake-relay.mjs";
import { composer, eventually, hide, launch, open, say, settled, transcript } from "./helpers.mjs";

let browser;
let relay;
let context;
before(async () => {
  browser = await launch();
});
after(() => browser.close());
beforeEach(async () => {
  relay = await new FakeRelay().start();
  context = await browser.newContext({ locale: "en-GB", timezoneId: "UTC" });
});
afterEach(async () => {
  await context.close();
  await relay.stop();
});

const stamps = (page) => page.locator("relay-chat .stamp").allTextContents();

test("days and pauses part the conversation, over a reload too, and history without times has none", async () => {
  const page = await context.newPage();
  await page.clock.install({ time: "2026-03-04T10:00:00Z" });
  await page.goto(relay.url);
  await say(page, "one");
  await settled(page);
  assert.deepEqual(await stamps(page), ["today, 10:00"]);
  assert.equal(await page.locator("relay-chat .agent .tools span").textContent(), "10:00");
  await page.clock.setSystemTime("2026-03-04T10:20:00Z");
  await say(page, "two");
  await settled(page, 2);
  assert.deepEqual(await stamps(page), ["today, 10:00"], "a short pause is none");
  await page.clock.setSystemTime("2026-03-05T09:00:00Z");
  await say(page, "three");
  await settled(page, 3);
  await page.clock.setSystemTime("2026-03-05T12:00:00Z");
  await page.reload();
  await settled(page, 3);
  assert.deepEqual(await stamps(page), ["yesterday, 10:00", "today, 09:00"]);
  await page.clock.setSystemTime("2026-03-09T12:00:00Z");
  await page.reload();
  await settled(page, 3);
  assert.deepEqual(await stamps(page), ["Wednesday 4 March, 10:00", "Thursday 5 March, 09:00"]);
  await page.evaluate(() => Object.keys(localStorage).filter((k) => k.endsWith("times")).forEach((k) => localStorage.removeItem(k)));
  await page.reload();
  await settled(page, 3);
  assert.deepEqual(await stamps(page), []);
});

for (const [where, other] of [["the relay's own page, by cookie", false], ["another website's, by bearer token", true]]) {
  test(`the times of a former visitor are not another's, on ${where}`, async () => {
    const site = await startSite(`<!doctype html><title>Site</title><script async src="${relay.url}widget.js" data-open></script>`);
    const page = await context.newPage();
    await page.clock.install({ time: "2026-03-02T10:00:00Z" });
    const { url } = other ? site : relay;
    await page.goto(url);
    await say(page, "one");
    await settled(page);
    const time = () => page.locator("relay-chat .agent .tools span").textContent();
    assert.equal(await time(), "10:00");
    relay.visitors.clear();
    await page.clock.setSystemTime("2026-03-02T15:00:00Z");
    await page.reload();
    await say(page, "two");
    await settled(page);
    assert.deepEqual(await transcript(page), ["user: two", "agent: You said: two"]);
    assert.equal(await time(), "15:00");
    // The next one has a conversation that this browser did not see.
    await page.goto("about:blank");
    Object.assign(relay.only, { events: [], seq: 0 });
    relay.emit(relay.only, "user", { text: "before", attachments: [], turn: "t" });
    relay.emit(relay.only, "text", { text: "Then.", delta: false });
    relay.emit(relay.only, "turn_end", { reason: "done" });
    await page.goto(url);
    await settled(page);
    assert.deepEqual(await transcript(page), ["user: before", "agent: Then."]);
    assert.equal(await time(), "");
    assert.deepEqual(await stamps(page), []);
    await site.stop();
  });
}

test("a message is copied as it was written, and code as it is", async () => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const words = "Some **bold** words.\n\n```js\nlet a = 1;\n```";
  relay.agent = async (r, v) => {
    r.emit(v, "text", { text: words, delta: false });
    r.emit(v, "turn_end", { reason: "done" });
  };
  const page = await open(context, relay.url);
  await say(page, "go");
  await settled(page);
  const chat = page.locator("relay-chat");
  const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
  await chat.getByRole("button", { name: "Copy message" }).click();
  await eventually(async () => assert.equal(await clipboard(), words));
  assert.equal(await chat.locator(".tools .copy").textContent(), "Copied");
  await chat.locator(".code .copy").click();
  await eventually(async () => assert.equal((await clipboard()).trim(), "let a = 1;"));
});

test("a visitor in another tab sees how much is new in the title, and hears it if the owner wants", async () => {
  const site = await startSite(`<!doctype html><html lang="en"><title>Site</title><script async src="${relay.url}widget.js" data-open data-sound></script></html>`);
  await context.addInitScript(() => {
    window.tones = 0;
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (...args) {
      window.tones++;
      return start.apply(this, args);
    };
  });
  const page = await open(context, site.url);
  await composer(page).click();
  await say(page, "hello");
  await settled(page);
  assert.equal(await page.title(), "Site", "what is seen is not counted");
  await hide(page, true);
  relay.emit(relay.only, "user", { text: "again", attachments: [] });
  relay.emit(relay.only, "text", { text: "News", delta: false });
  relay.emit(relay.only, "turn_end", { reason: "done" });
  await eventually(async () => assert.equal(await page.title(), "(1) Site"));
  await eventually(async () => assert.equal(await page.evaluate(() => window.tones), 1));
  await hide(page, false);
  assert.equal(await page.title(), "Site");
  await hide(page, true);
  relay.emit(relay.only, "user", { text: "and again", attachments: [] });
  relay.emit(relay.only, "text", { text: "More news", delta: false });
  relay.emit(relay.only, "turn_end", { reason: "done" });
  await eventually(async () => assert.equal(await page.title(), "(1) Site"));
  await page.evaluate(() => RelayChat.destroy());
  assert.equal(await page.title(), "Site", "and nothing stays behind");
  assert.equal((await transcript(page)).length, 0);
  await site.stop();
});

test("a number that the page itself puts in its title stays there", async () => {
  const site = await startSite(`<!doctype html><html lang="en"><title>(5) Inbox</title><script async src="${relay.url}widget.js" data-open></script></html>`);
  const page = await open(context, site.url);
  await say(page, "hello");
  await settled(page);
  await hide(page, true);
  assert.equal(await page.title(), "(5) Inbox");
  relay.emit(relay.only, "user", { text: "again", attachments: [] });
  relay.emit(relay.only, "text", { text: "News", delta: false });
  relay.emit(relay.only, "turn_end", { reason: "done" });
  await eventually(async () => assert.equal(await page.title(), "(1) (5) Inbox"));
  await hide(page, false);
  assert.equal(await page.title(), "(5) Inbox");
  await page.evaluate(() => RelayChat.destroy());
  assert.equal(await page.title(), "(5) Inbox");
  await site.stop();
});

test("without the setting nothing is heard, and no sound is fetched", async () => {
  const page = await open(context, relay.url);
  await say(page, "hello");
  await settled(page);
  await page.evaluate(() => Object.defineProperty(document, "hidden", { value: true, configurable: true }));
  relay.emit(relay.only, "user", { text: "again", attachments: [] });
  relay.emit(relay.only, "text", { text: "News", delta: false });
  relay.emit(relay.only, "turn_end", { reason: "done" });
  await eventually(async () => assert.match(await page.title(), /^\(1\)/));
  assert.ok(!relay.requests.some((r) => r.path.includes("sound")));
});

test("a long history comes newest first on a slow machine, piece by piece, and whole", async () => {
  const page = await context.newPage();
  await page.goto(relay.url);
  await eventually(async () => assert.equal(await page.locator("relay-chat .dot").getAttribute("data-state"), "open"));
  const v = relay.only;
  v.epoch = 1;
  v.status = "running";
  const said = Array.from({ length: 40 }, (_, n) => (n === 39 ? `Last. ${"More **words**.\n\n".repeat(400)}The end.` : `Message ${n}.`));
  for (const text of said.slice(0, -1)) relay.emit(v, "user", { text, attachments: [] });
  relay.emit(v, "text", { text: said.at(-1), delta: false });
  await page.addInitScript(() => {
    // A clock that advances on each read, so that every paint is late immediately.
    const { now } = Date;
    let late = 0;
    Date.now = () => now() + (late += 5);
    window.first = [];
    const look = () => {
      const rows = document.querySelector("relay-chat")?.shadowRoot?.querySelectorAll("article") ?? [];
      if (rows.length && rows.length < 40) window.first.push(rows[0].textContent);
      requestAnimationFrame(look);
    };
    look();
  });
  await page.reload();
  await eventually(async () => assert.deepEqual((await page.locator("relay-chat article .bubble, relay-chat article .text").allTextContents()).map((t) => t.replace(/(More words\.\s*){400}/, "all ")), said.map((t) => t.replace(/(More \*\*words\*\*\.\n\n){400}/, "all "))));
  const first = await page.evaluate(() => window.first);
  assert.ok(first.length > 1 && !first.some((t) => t.startsWith("Message 0.")), `begins with ${first.slice(0, 3)}`);
  const { top, height, all } = await page.locator("relay-chat .log").evaluate((log) => ({ top: log.scrollTop, height: log.clientHeight, all: log.scrollHeight }));
  assert.ok(all > height && all - top - height <= 48, `at ${top} of ${all} less ${height}`);
});
