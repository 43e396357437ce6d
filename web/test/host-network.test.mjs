// Pages with code between the widget and the network: service workers that cache
// responses, monitoring agents that add headers.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { FakeRelay, startSite } from "./fake-relay.mjs";
import { eventually, launch, open, say, settled, startPlane, startRelay, transcript } from "./helpers.mjs";

let browser;
let relay;
let context;
let site;
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
  await site.stop();
  await relay.stop();
});

const html = (body, from = relay) => `<!doctype html><html lang="en"><title>Site</title>${body}<script async src="${from.url}widget.js"></script>`;
const answered = ["user: hello", "agent: You said: hello"];
const banner = (page) => page.locator("relay-chat .banner");

/** A worker that answers every GET from its cache if it can. */
const worker = (how) => `
  addEventListener("install", () => skipWaiting());
  addEventListener("activate", (e) => e.waitUntil(clients.claim()));
  addEventListener("fetch", (e) => {
    if (e.request.method !== "GET") return;
    e.respondWith(caches.match(e.request, ${how}).then((hit) => hit || fetch(e.request).then((res) => {
      const copy = res.clone();
      caches.open("all").then((all) => all.put(e.request, copy)).catch(() => {});
      return res;
    })));
  });`;

for (const [what, how, varies] of [["", "{}", true], [", at a relay behind a proxy that drops Vary,", "{}", false], [" whatever its query says", "{ ignoreSearch: true }", true]]) {
  test(`a service worker that answers every GET${what} from its cache does not freeze the chat`, async () => {
    relay.varies = varies;
    site = await startSite({ "/": html('<script>navigator.serviceWorker.register("/sw.js")</script>'), "/sw.js": worker(how) });
    const page = await open(context, site.url);
    await page.evaluate(() => new Promise((done) => (navigator.serviceWorker.controller ? done() : navigator.serviceWorker.addEventListener("controllerchange", done))));
    await page.locator("relay-chat .launcher").click();
    await say(page, "hello");
    await settled(page);
    const said = [...answered];
    for (const text of ["One", "Two", "Three"]) {
      relay.finish(relay.only); // now the worker has the complete response
      await eventually(() => assert.equal(relay.only.streams.size, 1, "the stream is asked for at the relay"));
      relay.emit(relay.only, "text", { text, delta: false });
      said.push(`agent: ${text}`);
      await eventually(async () => assert.deepEqual(await transcript(page), said));
    }
    assert.equal(await page.evaluate(async () => (await (await caches.open("all")).keys()).some((r) => r.url.includes("/assets/panel."))), true, "the worker keeps copies");
    assert.deepEqual(page.wrong, []);
  });
}

/** An agent that adds tracing headers to every request of the page. */
const agent = (headers) => `
  const native = window.fetch;
  window.traced = ${JSON.stringify(headers)};
  window.fetch = function (input, init) {
    const request = new Request(input, init);
    for (const [name, value] of Object.entries(window.traced)) request.headers.set(name, value);
    return native.call(this, request);
  };`;

test("what tracing agents add to every request reaches the relay, which answers", async () => {
  site = await startSite("");
  const headers = { traceparent: "00-11111111111111111111111111111111-2222222222222222-01", tracestate: "a=b", baggage: "c=d", "sentry-trace": "1-2-1", newrelic: "e30=" };
  for (const name of ["origin", "parent-id", "sampling-priority", "tags", "trace-id"]) headers[`x-datadog-${name}`] = "1";
  const plane = await startPlane();
  const real = await startRelay("serve", { ...plane.env, RELAY_ALLOWED_ORIGINS: site.url.slice(0, -1) });
  try {
    site.html = html(`<script>${agent(headers)}</script>`, real);
    const page = await open(context, site.url);
    const sent = page.waitForRequest((r) => r.url().includes("/v1/visitor") && r.method() === "POST");
    await page.locator("relay-chat .launcher").click();
    assert.equal((await (await sent).allHeaders())["x-datadog-tags"], "1", "the page does add them");
    await say(page, "hello");
    await settled(page);
    assert.deepEqual(page.wrong, []);
  } finally {
    await real.stop();
    await plane.stop();
  }
});

test("a page that adds a header which the relay does not know is told so, and the chat goes on when it stops", async () => {
  site = await startSite(html(`<script>${agent({ "x-acme-trace": "1" })}</script>`));
  const page = await open(context, site.url);
  await page.evaluate(() => document.addEventListener("relay-chat:error", (e) => (window.failed = e.detail.code)));
  await page.locator("relay-chat .launcher").click();
  await eventually(async () => assert.match(await banner(page).textContent(), new RegExp(`adds request headers .* exclude ${new URL(relay.url).host.replace(/\./g, "\\.")}`)));
  assert.equal(await banner(page).isVisible(), true);
  assert.equal(await page.evaluate(() => window.failed), "headers_not_allowed");
  assert.equal(await page.locator("iframe").count(), 0, "what found it out is gone");
  assert.equal(relay.visitors.size, 0);
  await page.evaluate(() => (window.traced = {}));
  await banner(page).locator("button").click();
  await say(page, "hello");
  await settled(page);
  await eventually(async () => assert.equal(await banner(page).isVisible(), false));
  assert.deepEqual(await transcript(page), answered);
});

test("a page that begins to add such a header in the middle of a conversation is told so, too", async () => {
  site = await startSite(html(`<script>${agent({})}</script>`));
  const page = await open(context, site.url);
  await page.locator("relay-chat .launcher").click();
  await say(page, "hello");
  await settled(page);
  await page.evaluate(() => (window.traced = { "x-acme-trace": "1" }));
  relay.cut(relay.only);
  await eventually(async () => assert.match(await banner(page).textContent(), /adds request headers/));
  await page.evaluate(() => (window.traced = {}));
  await banner(page).locator("button").click();
  await eventually(async () => assert.equal(await banner(page).isVisible(), false));
  assert.deepEqual(await transcript(page), answered);
});

test("a website that is not on the list is told that, also where an agent adds request headers", async () => {
  relay.refuses = true;
  site = await startSite(html(`<script>${agent({ traceparent: "1" })}</script>`));
  const page = await open(context, site.url);
  await page.locator("relay-chat .launcher").click();
  await eventually(async () => assert.match(await banner(page).textContent(), /is not allowed to use this chat/));
  relay.refuses = false;
  await banner(page).locator("button").click();
  await say(page, "hello");
  await settled(page);
  assert.deepEqual(page.wrong, []);
});
