// Different kinds of pages with the widget, and their effects on it.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { FakeRelay, problem, startSite } from "./fake-relay.mjs";
import { composer, eventually, launch, launchWhole, open, say, settled, transcript } from "./helpers.mjs";

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
  site = null;
});
afterEach(async () => {
  await context.close();
  await site?.stop();
  await relay.stop();
});

const tag = (more = "") => `<script async src="${relay.url}widget.js" ${more}></script>`;
const launcher = (page) => page.locator("relay-chat .launcher");
const answered = ["user: hello", "agent: You said: hello"];

/** Serves pages and opens the first. */
async function visit(pages) {
  site = await startSite(pages);
  return open(context, site.url);
}

const words = Array.from({ length: 40 }, (_, n) => `<p>Words of the page, ${n}.</p>`).join("");
const kinds = {
  "of another origin": () => ({ body: `<!doctype html><html lang="en"><title>Site</title><h1>Site</h1>${words}${tag()}` }),
  "without a doctype": () => ({ body: `<title>Site</title>${words}${tag()}` }),
  "with a strict policy and no trusted types": () => ({
    body: `<!doctype html><title>Site</title>${words}${tag()}`,
    headers: { "content-security-policy": `default-src 'none'; script-src ${new URL(relay.url).origin}; connect-src ${new URL(relay.url).origin}; require-trusted-types-for 'script'; trusted-types 'none'; base-uri 'none'; form-action 'none'` },
  }),
  "that trusts scripts by nonce": () => ({
    body: `<!doctype html><title>Site</title>${words}<script nonce="abc" async src="${relay.url}widget.js"></script>`,
    headers: { "content-security-policy": `script-src 'nonce-abc' 'strict-dynamic'; object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'` },
  }),
  "that isolates itself": () => ({
    body: `<!doctype html><title>Site</title>${words}${tag()}`,
    headers: { "cross-origin-embedder-policy": "require-corp", "cross-origin-opener-policy": "same-origin" },
  }),
  "with a base elsewhere": () => ({ body: `<!doctype html><base href="https://elsewhere.invalid/deep/path/" target="_top"><title>Site</title>${words}${tag()}` }),
  "with hostile styles": () => ({
    body: `<!doctype html><style>
      * { font: italic 40px/3 serif !important; color: red !important; text-transform: uppercase !important; letter-spacing: 1em !important; text-align: right !important; visibility: hidden !important; cursor: wait !important; pointer-events: none !important; box-sizing: content-box !important; white-space: pre !important; word-spacing: 2em !important; text-indent: 99px !important; user-select: none !important }
      div, button, form, textarea, article, h2 { display: none !important; position: static !important; width: 9999px !important; margin: 99px !important }
      relay-chat { position: relative; overflow: hidden; width: 10px; height: 10px; float: left; opacity: .1; transform: scale(.1); filter: blur(9px); z-index: -1; contain: strict }
    </style><title>Site</title>${words}${tag()}`,
  }),
  "written from right to left": () => ({ body: `<!doctype html><html dir="rtl" lang="en"><title>Site</title>${words}${tag('data-position="left"')}` }),
};

for (const [kind, make] of Object.entries(kinds)) {
  test(`the widget works on a page ${kind}, which stays as it was`, async () => {
    const { headers } = make();
    const bare = await visit({ "/": { body: make().body.replace(/<script[^>]*><\/script>$/, ""), headers } });
    const layout = () => [document.documentElement.scrollWidth, document.documentElement.scrollHeight, ...[...document.querySelectorAll("p")].map((p) => p.getBoundingClientRect().top)];
    const before = await bare.evaluate(layout);
    await bare.close();
    site.html["/"] = make();
    const page = await open(context, site.url);
    await launcher(page).click();
    await say(page, "hello");
    await settled(page);
    assert.deepEqual(await transcript(page), answered);
    assert.deepEqual(await page.evaluate(layout), before, "the page's own layout");
    assert.deepEqual(await context.cookies(), [], "no cookie crosses the border");
    const shell = page.locator("relay-chat .shell");
    const looks = await shell.evaluate((el) => {
      const field = getComputedStyle(el.querySelector("textarea"));
      const s = getComputedStyle(el);
      return { size: s.fontSize, style: s.fontStyle, transform: s.textTransform, spacing: s.letterSpacing, indent: s.textIndent, pointer: s.pointerEvents, seen: s.visibility, select: s.userSelect, wrap: s.whiteSpace, field: field.fontSize, direction: s.direction };
    });
    assert.deepEqual(looks, { size: "15px", style: "normal", transform: "none", spacing: "normal", indent: "0px", pointer: "auto", seen: "visible", select: "auto", wrap: "normal", field: "16px", direction: kind.includes("right to left") ? "rtl" : "ltr" });
    const box = await shell.boundingBox();
    const { width, height } = page.viewportSize();
    assert.ok(box.width > 300 && box.height > 400 && box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height, JSON.stringify(box));
    if (kind.includes("isolates")) assert.equal(await page.evaluate(() => crossOriginIsolated), true);
    assert.deepEqual(page.wrong, []);
  });
}

test("on a page of the relay's own origin the visitor is kept in a cookie that scripts don't see", async () => {
  const page = await open(context, relay.url);
  await say(page, "hello");
  await settled(page);
  const [cookie] = await context.cookies();
  assert.equal(cookie.httpOnly, true);
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage).filter((k) => k.endsWith(":token"))), []);
});

test("a page written from right to left is mirrored, and its words keep their own direction", async () => {
  const page = await visit(kinds["written from right to left"]().body);
  await launcher(page).click();
  await say(page, "hello");
  await settled(page);
  const left = (selector) => page.locator(`relay-chat ${selector}`).first().evaluate((el) => el.getBoundingClientRect().left);
  assert.ok((await left(".bubble")) < (await left(".agent")) + 200, "the visitor's words stand at the left");
  assert.ok((await left(".send")) < (await left("textarea")), "the button stands left of the field");
  assert.ok((await left("[part=close]")) < (await left("h2")), "the title stands right");
});

test("a page opened from a file is refused politely, and says so", async () => {
  relay.fault = (req, res, path) => path.startsWith("/v1/") && req.headers.origin === "null" && (problem(res, 403, "origin_not_allowed"), true);
  const dir = mkdtempSync(join(tmpdir(), "relay-page-"));
  try {
    const file = join(dir, "page.html");
    writeFileSync(file, `<!doctype html><title>File</title>${tag()}`);
    const page = await open(context, pathToFileURL(file).href);
    await launcher(page).click();
    await eventually(async () => assert.match(await page.locator("relay-chat .banner").textContent(), /opened from a file/));
    assert.deepEqual(page.wrong, []);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("a relay that answers nothing is said to be away, in the panel", async () => {
  const page = await visit(`<!doctype html><title>Site</title>${tag()}`);
  await launcher(page).waitFor();
  relay.fault = (req, res, path) => !path.startsWith("/assets/") && (res.destroy(), true);
  await launcher(page).click();
  const banner = page.locator("relay-chat .banner");
  await eventually(async () => assert.match(await banner.textContent(), /can't be reached\. Retrying in \d+ s\./));
  await eventually(async () => assert.equal(await banner.isVisible(), true));
  relay.fault = null;
  await say(page, "hello");
  await settled(page);
  await eventually(async () => assert.equal(await banner.isVisible(), false));
});

test("two widgets of two relays live on one page, each with its own", async () => {
  const second = await new FakeRelay().start();
  second.settings = { title: "Second" };
  try {
    const scripts = [relay, second].map((r, n) => `<script defer src="${r.url}widget.js" data-position="${n ? "left" : "right"}"></script>`).join("");
    const page = await visit(`<!doctype html><title>Site</title>${scripts}`);
    await page.evaluate(() => {
      window.seen = [];
      RelayChat.on("message", (m) => window.seen.push(m.text));
    });
    for (const [name, text] of [["relay-chat", "one"], ["relay-chat-2", "two"]]) {
      await page.locator(`${name} .launcher`).click();
      await page.locator(`${name} textarea`).fill(text);
      await page.locator(`${name} textarea`).press("Enter");
      await eventually(async () => assert.equal(await page.locator(`${name} [data-role=agent] .text`).textContent(), `You said: ${text}`));
    }
    assert.equal(await page.locator("relay-chat-2 h2").textContent(), "Second");
    assert.deepEqual([relay.visitors.size, second.visitors.size], [1, 1]);
    assert.deepEqual(await page.evaluate(() => window.seen), ["one", "You said: one"], "the global tells of the first alone");
    await page.evaluate(() => RelayChat.destroy());
    await eventually(async () => assert.equal(await page.locator("relay-chat").count(), 0));
    await page.locator("relay-chat-2 textarea").fill("still here");
    await page.locator("relay-chat-2 textarea").press("Enter");
    await eventually(async () => assert.equal(await page.locator("relay-chat-2 [data-role=agent] .text").last().textContent(), "You said: still here"));
    await page.evaluate(() => document.querySelector("relay-chat-2").destroy());
    await eventually(async () => assert.equal(await page.locator("relay-chat-2").count(), 0));
    assert.deepEqual(page.wrong, []);
  } finally {
    await second.stop();
  }
});

/** A framework that replaces the body, keeps a copy of the last one, and runs the scripts of the new one. */
const swaps = {
  turbo: `
    const run = (body) => { for (const old of body.querySelectorAll("script")) { const s = document.createElement("script"); for (const a of old.attributes) s.setAttribute(a.name, a.value); old.replaceWith(s) } };
    const kept = new Map();
    window.go = (path, html) => {
      kept.set(location.pathname, document.body.cloneNode(true));
      const body = kept.get(path)?.cloneNode(true) ?? new DOMParser().parseFromString(html, "text/html").body;
      run(body);
      history.pushState({}, "", path);
      document.documentElement.replaceChild(document.adoptNode(body), document.body);
    }`,
  astro: `
    window.go = async (path, html) => {
      const next = new DOMParser().parseFromString(html, "text/html");
      const swap = () => {
        history.pushState({}, "", path);
        for (const { name } of [...document.documentElement.attributes]) document.documentElement.removeAttribute(name);
        document.head.replaceChildren(...next.head.childNodes);
        document.body.replaceWith(next.body);
      };
      if (document.startViewTransition) await document.startViewTransition(swap).finished;
      else swap();
    }`,
};

for (const [name, script] of Object.entries(swaps)) {
  test(`navigation within the page, as ${name} does it, keeps the one open chat and its words`, async () => {
    const body = (title) => `<h1>${title}</h1>${tag()}`;
    const page = await visit({ "/": `<!doctype html><html lang="en"><head><title>Site</title><script src="/app.js"></script></head><body>${body("One")}</body></html>`, "/app.js": script });
    await launcher(page).click();
    await say(page, "hello");
    await settled(page);
    await composer(page).fill("a draft");
    const visits = relay.requests.filter((r) => r.path === "/v1/events").length;
    for (const [path, title] of [["/two", "Two"], ["/", "One"], ["/two", "Two"]]) {
      await page.evaluate(([p, html]) => window.go(p, html), [path, `<!doctype html><title>${title}</title><body>${body(title)}</body>`]);
      await eventually(async () => {
        assert.equal(await page.locator("h1").textContent(), title);
        assert.equal(await page.locator("relay-chat").count(), 1);
        assert.deepEqual(await transcript(page), answered);
      });
      assert.equal(await composer(page).inputValue(), "a draft");
      assert.equal(await page.locator("relay-chat .shell").isVisible(), true);
    }
    await say(page, "again");
    await settled(page, 2);
    assert.equal(relay.requests.filter((r) => r.path === "/v1/events").length, visits, "the stream was never cut");
    assert.deepEqual(page.wrong, []);
  });
}

test("a router that takes an inline chat away and puts another there keeps the conversation", async () => {
  const page = await visit({
    "/": `<!doctype html><title>Site</title><div id="app"></div><script src="/app.js"></script>${tag()}`,
    "/app.js": `
      window.show = (path) => {
        history.pushState({}, "", path);
        const view = document.createElement("section");
        if (path === "/help") { const chat = document.createElement("relay-chat"); chat.setAttribute("mode", "inline"); view.append(chat) }
        document.querySelector("#app").replaceChildren(view);
      };
      show("/help");`,
  });
  await composer(page).waitFor();
  assert.equal(await page.locator("relay-chat").count(), 1);
  await say(page, "hello");
  await settled(page);
  await page.evaluate(() => window.show("/home"));
  await eventually(() => assert.equal(relay.only.streams.size, 0, "nothing listens while it is away"));
  await page.evaluate(() => window.show("/help"));
  await eventually(async () => assert.deepEqual(await transcript(page), answered));
  assert.equal(relay.visitors.size, 1);
  assert.deepEqual(page.wrong, []);
});

test("a page that the browser froze and brought back has missed nothing", async () => {
  const own = await launchWhole({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });
  try {
    const to = await own.newContext();
    site = await startSite({ "/": `<!doctype html><title>Site</title><script>addEventListener("pageshow", (e) => (window.thawed = e.persisted))</script>${tag()}`, "/other": "<!doctype html><title>Other</title><h1>Other</h1>" });
    const page = await open(to, site.url);
    await launcher(page).click();
    await say(page, "hello");
    await settled(page);
    await page.goto(`${site.url}other`);
    await eventually(() => assert.equal(relay.only.streams.size, 0, "a frozen page holds no stream"));
    relay.emit(relay.only, "text", { text: "Missed", delta: false });
    await page.goBack({ waitUntil: "commit" });
    await eventually(async () => assert.deepEqual(await transcript(page), [...answered, "agent: Missed"]));
    assert.equal(await page.evaluate(() => window.thawed), true, "it came from the cache");
    assert.equal(relay.only.streams.size, 1);
    assert.deepEqual(page.wrong, []);
  } finally {
    await own.close();
  }
});
