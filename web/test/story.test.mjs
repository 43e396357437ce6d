// End to end: Chromium, the relay, the scripted control plane.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startSite } from "./fake-relay.mjs";
import { eventually, launch, open, say, settled, startPlane, startRelay, transcript } from "./helpers.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

/** Text that occurs once in the long answer. */
const count = (texts, needle) => texts.join("\n").split(needle).length - 1;

for (const unnumbered of ["0", "1"]) {
  describe(`words that come ${unnumbered === "1" ? "without" : "with"} numbers`, () => {
    let plane;
    let relay;
    let context;
    before(async () => {
      plane = await startPlane({ PLANE_UNNUMBERED: unnumbered });
      relay = await startRelay("serve", plane.env);
      context = await browser.newContext();
    });
    after(async () => {
      await context.close();
      await relay.stop();
      await plane.stop();
    });

    test("an answer survives a reload in its middle, in two tabs at once", async () => {
      const one = await open(context, relay.url);
      await say(one, "long");
      const two = await open(context, relay.url);
      await eventually(async () => assert.ok((await transcript(one)).join().length > 400, "words appear"));
      assert.equal(await one.locator("relay-chat .agent.open").count(), 1, "and it is not done yet");
      await one.reload();
      await settled(one);
      await settled(two);
      const shown = await transcript(one);
      assert.equal(shown.filter((t) => t === "user: long").length, 1);
      assert.equal(shown.filter((t) => t.startsWith("agent:")).length, 1);
      const words = shown.find((t) => t.startsWith("agent:")).slice(-40);
      assert.equal(count(shown, words), 1);
      await eventually(async () => assert.deepEqual(await transcript(two), shown));
      const fresh = await open(context, relay.url);
      await eventually(async () => assert.deepEqual(await transcript(fresh), shown, "history"));
      for (const page of [one, two, fresh]) {
        assert.deepEqual(page.wrong, []);
        await page.close();
      }
    });

    test("an answer survives the relay being killed in its middle", async () => {
      const page = await open(context, relay.url);
      await settled(page);
      const known = (await transcript(page)).length;
      await say(page, "long");
      await eventually(async () => assert.ok((await transcript(page)).at(-1).length > 400, "words appear"));
      await relay.stop();
      await eventually(async () => assert.equal(await page.locator("relay-chat .banner").isVisible(), true, "the visitor is told"));
      relay = await startRelay("serve", { ...plane.env, RELAY_ADDR: relay.addr });
      await settled(page, 2);
      await eventually(async () => assert.equal(await page.locator("relay-chat .banner").isVisible(), false));
      const shown = await transcript(page);
      assert.deepEqual(shown.map((t) => t.split(":")[0]).slice(known), ["user", "agent"]);
      assert.equal(shown.at(-1), shown[1], "the same answer as the first time, whole");
      const fresh = await open(context, relay.url);
      await eventually(async () => assert.deepEqual(await transcript(fresh), shown));
      await fresh.close();
      await page.close();
    });

    test("a turn sent while the relay is away arrives when it is back, once", async () => {
      const page = await open(context, relay.url);
      await settled(page, 2);
      const known = (await transcript(page)).length;
      await relay.stop();
      await say(page, "hello");
      await eventually(async () => assert.equal(await page.locator("relay-chat article:is([data-state=waiting], [data-state=failed])").count(), 1));
      await page.close();
      relay = await startRelay("serve", { ...plane.env, RELAY_ADDR: relay.addr });
      const back = await open(context, relay.url);
      await settled(back, 3);
      await eventually(async () => assert.deepEqual((await transcript(back)).slice(known).map((t) => t.split(" ")[0]), ["user:", "agent:"]));
      await back.close();
    });

    test("a new conversation is empty, everywhere, and takes turns", async () => {
      const one = await open(context, relay.url);
      await settled(one);
      const two = await open(context, relay.url);
      await settled(two);
      await one.locator("relay-chat [part=new]").click();
      await one.locator("relay-chat .confirm .strong").click();
      for (const page of [one, two]) await eventually(async () => assert.deepEqual(await transcript(page), []));
      assert.equal(await one.locator("relay-chat .greeting").isVisible(), true);
      await say(two, "hello");
      for (const page of [one, two]) {
        await settled(page);
        assert.equal((await transcript(page)).length, 2);
        await page.close();
      }
    });
  });
}

test("the widget works on an isolated page of another origin with a strict policy of its own", async () => {
  const plane = await startPlane();
  const site = await startSite("");
  const relay = await startRelay("serve", { ...plane.env, RELAY_BASE_PATH: "/chat", RELAY_ALLOWED_ORIGINS: new URL(site.url).origin });
  site.html = `<!doctype html><title>Site</title><h1>Site</h1><script async src="${relay.url}widget.js" data-title="Ask us"></script>`;
  const origin = new URL(relay.url).origin;
  site.headers = {
    "content-security-policy": `default-src 'none'; script-src ${origin}; connect-src ${origin}; style-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'`,
    "cross-origin-embedder-policy": "require-corp",
  };
  const context = await browser.newContext();
  try {
    const page = await open(context, site.url);
    await page.locator("relay-chat .launcher").click();
    await say(page, "hello");
    await settled(page);
    const shown = await transcript(page);
    assert.deepEqual(await context.cookies(), [], "no cookie crosses the border");
    await page.reload();
    await eventually(async () => assert.deepEqual(await transcript(page), shown, "it opens again and remembers"));
    assert.deepEqual(page.wrong, []);
  } finally {
    await context.close();
    await relay.stop();
    await site.stop();
    await plane.stop();
  }
});

test("a site that is not on the list is told so where it can be seen", async () => {
  const plane = await startPlane();
  const site = await startSite("");
  const relay = await startRelay("serve", { ...plane.env, RELAY_ALLOWED_ORIGINS: "https://elsewhere.example" });
  site.html = `<!doctype html><script async src="${relay.url}widget.js"></script>`;
  const context = await browser.newContext();
  try {
    const page = await open(context, site.url);
    await page.locator("relay-chat .launcher").click();
    const banner = page.locator("relay-chat .banner");
    await banner.waitFor();
    await eventually(async () => assert.match(await banner.textContent(), /not allowed to use this chat/));
  } finally {
    await context.close();
    await relay.stop();
    await site.stop();
    await plane.stop();
  }
});
