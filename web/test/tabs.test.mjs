// The tabs of one browser: one stream, which any of them can take over.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { FakeRelay, startSite } from "./fake-relay.mjs";
import { composer, eventually, launch, open, say, settled, shows, transcript } from "./helpers.mjs";

let browser;
let relay;
let context;
before(async () => {
  browser = await launch();
});
after(() => browser.close());
beforeEach(async () => {
  relay = await new FakeRelay().start();
  context = await browser.newContext();
});
afterEach(async () => {
  await context.close();
  await relay.stop();
});

const streams = () => [...relay.visitors.values()].reduce((n, v) => n + v.streams.size, 0);
const asked = () => relay.requests.filter((r) => r.path === "/v1/events").length;
/** The messages of both tabs, and the answers, in any order. */
const twice = (page) => eventually(async () => assert.deepEqual((await transcript(page)).sort(), ["agent: You said: hello", "agent: You said: hello", "user: hello", "user: hello"]));
const connected = (page) => eventually(async () => assert.equal(await page.locator("relay-chat .dot").getAttribute("data-state"), "open"));

test("many tabs read one stream, and each shows all of it, words without a number too", async () => {
  relay.agent = async (r, v) => r.emit(v, "text", { text: "One ", delta: true });
  const one = await open(context, relay.url);
  await say(one, "count");
  await shows(one, ["user: count", "agent: One"]);
  const two = await open(context, relay.url);
  const three = await open(context, relay.url);
  for (const page of [two, three]) await shows(page, ["user: count", "agent: One"]);
  relay.emit(relay.only, "text", { text: "two", delta: true });
  for (const page of [one, two, three]) {
    await shows(page, ["user: count", "agent: One two"]);
    await connected(page);
  }
  relay.emit(relay.only, "text", { text: "One two", delta: false });
  relay.emit(relay.only, "turn_end", { reason: "done" });
  relay.agent = async (r, v, text) => {
    r.emit(v, "text", { text: `You said: ${text}`, delta: false });
    r.emit(v, "turn_end", { reason: "done" });
  };
  await say(three, "again");
  for (const page of [one, two, three]) await shows(page, ["user: count", "agent: One two", "user: again", "agent: You said: again"]);
  assert.equal(streams(), 1);
  assert.equal(asked(), 1);
});

test("words without a number come once to every tab when the stream is cut", async () => {
  relay.agent = async (r, v) => r.emit(v, "text", { text: "One ", delta: true });
  const one = await open(context, relay.url);
  await say(one, "count");
  const two = await open(context, relay.url);
  await shows(two, ["user: count", "agent: One"]);
  relay.cut(relay.only);
  await eventually(() => assert.equal(asked(), 2));
  await eventually(() => assert.equal(streams(), 1));
  relay.emit(relay.only, "text", { text: "two", delta: true });
  for (const page of [one, two]) await shows(page, ["user: count", "agent: One two"]);
});

test("tabs that the relay forgot become one other visitor", async () => {
  const site = await startSite(`<!doctype html><title>Site</title><script async src="${relay.url}widget.js" data-open></script>`);
  const pages = [await open(context, site.url), await open(context, site.url)];
  await say(pages[0], "before");
  for (const page of pages) await shows(page, ["user: before", "agent: You said: before"]);
  relay.visitors.clear();
  await Promise.all(pages.map((page) => say(page, "hello")));
  for (const page of pages) await twice(page);
  assert.equal(relay.visitors.size, 1);
  await site.stop();
});

/** Another tab's storage changes arrive this late here, as between tabs in separate processes on a busy machine. @param {number} ms */
function lag(ms) {
  const { getItem, setItem, removeItem } = Storage.prototype;
  const seen = new Map(Object.entries({ ...localStorage }));
  const see = (key, value) => (value === null ? seen.delete(key) : seen.set(key, value));
  addEventListener("storage", ({ key, newValue }) => key !== null && setTimeout(() => see(key, newValue), ms));
  Storage.prototype.getItem = function (key) {
    return this === localStorage ? (seen.get(key) ?? null) : getItem.call(this, key);
  };
  Storage.prototype.setItem = function (key, value) {
    if (this === localStorage) seen.set(key, String(value));
    setItem.call(this, key, value);
  };
  Storage.prototype.removeItem = function (key) {
    if (this === localStorage) seen.delete(key);
    removeItem.call(this, key);
  };
}

for (const ms of [80, 1200]) test(`tabs are one visitor also where what one keeps reaches the other ${ms} ms later: opened at once, and forgotten`, async () => {
  await context.addInitScript(lag, ms);
  const site = await startSite(`<!doctype html><title>Site</title><script async src="${relay.url}widget.js" data-open></script>`);
  const pages = await Promise.all([open(context, site.url), open(context, site.url)]);
  for (const page of pages) await connected(page);
  assert.equal(relay.visitors.size, 1, "opened at once");
  await say(pages[0], "before");
  for (const page of pages) await shows(page, ["user: before", "agent: You said: before"]);
  relay.visitors.clear();
  await Promise.all(pages.map((page) => say(page, "hello")));
  for (const page of pages) await twice(page);
  assert.equal(relay.visitors.size, 1, "forgotten");
  await site.stop();
});

test("a tab that another one tells first learns from the relay whether answers are rated", async () => {
  relay.says = { feedback: true };
  const one = await open(context, relay.url);
  await say(one, "hello");
  await shows(one, ["user: hello", "agent: You said: hello"]);
  const good = (page) => page.locator("relay-chat").getByRole("button", { name: "Good answer" });
  await good(one).waitFor();
  let answer;
  relay.fault = (req, res, path) => {
    if (path !== "/v1/visitor") return false;
    answer = () => relay.introduce(res, req.headers.authorization?.slice("Bearer ".length) ?? /relay_visitor=([^;]+)/.exec(req.headers.cookie ?? "")?.[1] ?? "", false);
    return true;
  };
  const two = await open(context, relay.url);
  await shows(two, ["user: hello", "agent: You said: hello"]);
  await eventually(() => assert.ok(answer));
  assert.equal(await good(two).count(), 0, "before");
  relay.fault = null;
  answer();
  await good(two).waitFor();
});

test("when the tab that reads is closed another goes on where it was", async () => {
  const one = await open(context, relay.url);
  await say(one, "hello");
  await settled(one);
  const two = await open(context, relay.url);
  await shows(two, ["user: hello", "agent: You said: hello"]);
  await one.close();
  await eventually(() => assert.equal(asked(), 2));
  assert.equal(relay.requests.findLast((r) => r.path === "/v1/events").headers["last-event-id"], "1-2");
  await say(two, "still here");
  await shows(two, ["user: hello", "agent: You said: hello", "user: still here", "agent: You said: still here"]);
  await eventually(() => assert.equal(streams(), 1));
});

test("a tab that reads but tells nothing any more loses the lead", async () => {
  const one = await open(context, relay.url);
  await say(one, "hello");
  await settled(one);
  const two = await context.newPage();
  await two.clock.install();
  await two.goto(relay.url);
  await shows(two, ["user: hello", "agent: You said: hello"]);
  await one.evaluate(() => {
    BroadcastChannel.prototype.postMessage = () => {}; // as if the tab were frozen
  });
  relay.emit(relay.only, "text", { text: "Missed", delta: false });
  await two.clock.runFor(60_000);
  await shows(two, ["user: hello", "agent: You said: hello", "agent: Missed"]);
  await eventually(() => assert.equal(streams(), 1, "and the other lets its stream go"));
});

test("a tab that wakes has the one that reads doubt a silent connection", async () => {
  const one = await context.newPage();
  await one.clock.install();
  await one.goto(relay.url);
  await say(one, "hello");
  await settled(one);
  const two = await open(context, relay.url);
  await shows(two, ["user: hello", "agent: You said: hello"]);
  await one.clock.runFor(25_000);
  await two.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await eventually(() => assert.equal(asked(), 2));
});

test("a try now in any tab is one in the tab that reads", async () => {
  let refused = 0;
  relay.fault = (req, res, path) => path === "/v1/events" && refused++ < 1 && (res.writeHead(429, { "content-type": "application/problem+json", "retry-after": "600" }).end('{"code":"too_many_streams","detail":"Too many."}'), true);
  const one = await open(context, relay.url);
  const banner = (page) => page.locator("relay-chat .banner");
  await banner(one).getByText("Retry now").waitFor();
  const two = await open(context, relay.url);
  await eventually(async () => assert.match(await banner(two).textContent(), /Too many\. Retrying in/));
  await banner(two).getByText("Retry now").click();
  for (const page of [one, two]) await connected(page);
  assert.equal(asked(), 2);
});

test("a logout in one tab is one in all", async () => {
  const one = await open(context, relay.url);
  await say(one, "secret");
  await settled(one);
  const two = await open(context, relay.url);
  await shows(two, ["user: secret", "agent: You said: secret"]);
  await two.evaluate(() => RelayChat.logout());
  for (const page of [one, two]) await shows(page, []);
  await say(one, "hello");
  for (const page of [one, two]) await shows(page, ["user: hello", "agent: You said: hello"]);
  assert.equal(relay.visitors.size, 1);
});

test("tabs without locks have a stream each", async () => {
  await context.addInitScript(() => Object.defineProperty(navigator, "locks", { value: undefined }));
  const one = await open(context, relay.url);
  const two = await open(context, relay.url);
  for (const page of [one, two]) {
    await composer(page).waitFor();
    await connected(page);
  }
  assert.equal(streams(), 2);
});
