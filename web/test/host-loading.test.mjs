// Every way in which a page may load the loader: it finds its relay, and the settings of
// its tag.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { FakeRelay, startSite } from "./fake-relay.mjs";
import { eventually, launch, open, say, settled, transcript } from "./helpers.mjs";

let browser;
let relay;
let context;
let site;
before(async () => {
  browser = await launch();
});
after(() => browser.close());
beforeEach(async () => {
  relay = new FakeRelay();
  relay.base = "/chat";
  await relay.start();
  context = await browser.newContext();
});
afterEach(async () => {
  await context.close();
  await site.stop();
  await relay.stop();
});

const src = () => `${relay.url}widget.js`;
const loader = async () => (await fetch(src())).text();
/** The loader as served by a relay with a public URL. */
const known = async () => {
  relay.settings = { src: src() };
  return loader();
};

const ways = {
  "as a module": { pages: () => `<script type="module" src="${src()}" data-title="Ask"></script>`, title: "Ask" },
  "by import()": { pages: () => `<script type="module">await import("${src()}?v=1#x")</script>`, title: "Chat" },
  "by a module that imports it": { pages: () => ({ "/": '<script type="module" src="/app.js"></script>', "/app.js": `import "${src()}"` }), title: "Chat" },
  "by a tag manager": { pages: () => `<script>const s = document.createElement("script"); s.src = "${src()}"; s.dataset.title = "Ask"; document.head.append(s)</script>`, title: "Ask" },
  "by a tag in a shadow root": { pages: () => `<div id="host"></div><script>const s = document.createElement("script"); s.src = "${src()}"; document.querySelector("#host").attachShadow({ mode: "open" }).append(s)</script>`, title: "Chat" },
  "under another name": { pages: async () => ({ "/": '<script async src="/chat/help.js?to=/a/b" data-title="Ask"></script>' }), title: "Ask", proxied: true },
  "in a bundle": { pages: async () => ({ "/": '<script defer src="/app.js" data-title="Ask"></script>', "/app.js": `"use strict"; console.log("a site");\n${await known()}` }), title: "Ask" },
  "in a bundle of modules": { pages: async () => ({ "/": '<script type="module" src="/app.js"></script>', "/app.js": `export const site = 1;\n${await known()}` }), title: "Chat" },
  "written into the page": { pages: async () => `<script>${await known()}</script>`, title: "Chat" },
};

for (const [way, { pages, title, proxied }] of Object.entries(ways)) {
  test(`the widget that comes ${way} finds its relay`, async () => {
    const body = await pages();
    const page = { "/": body, ...(typeof body === "string" ? {} : body) };
    page["/"] = `<!doctype html><html lang="en"><title>Site</title>${page["/"]}`;
    site = await startSite(page);
    if (proxied) site.elsewhere = relay.url;
    const tab = await open(context, site.url);
    await tab.locator("relay-chat .launcher").click();
    await say(tab, "hello");
    await settled(tab);
    assert.deepEqual(await transcript(tab), ["user: hello", "agent: You said: hello"]);
    assert.equal(await tab.locator("relay-chat h2").textContent(), title);
    await tab.reload();
    await eventually(async () => assert.equal((await transcript(tab)).length, 2, "the panel was open, which the loader remembers by its relay"));
    assert.deepEqual(tab.wrong, []);
  });
}

test("a chat that loads late leaves the focus to who has begun to write on the page", async () => {
  site = await startSite({ "/": `<!doctype html><html lang="en"><title>Site</title><input aria-label="Search"><script async src="${src()}"></script>` });
  const tab = await open(context, site.url);
  let arrives = () => {};
  const held = new Promise((done) => {
    arrives = done;
  });
  await tab.route(/panel[^/]*\.js/, async (route) => {
    await held;
    await route.continue();
  });
  await tab.locator("relay-chat .launcher").click();
  await tab.getByLabel("Search").fill("shoes");
  arrives();
  await tab.locator("relay-chat textarea").waitFor();
  await tab.keyboard.type(" and socks");
  assert.equal(await tab.getByLabel("Search").inputValue(), "shoes and socks");
  await tab.locator("relay-chat .launcher").click();
  await tab.locator("relay-chat .launcher").click();
  await tab.keyboard.type("hello");
  assert.equal(await tab.locator("relay-chat textarea").inputValue(), "hello", "who opens it and writes nowhere else has it");
});
