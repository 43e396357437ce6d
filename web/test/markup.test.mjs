// The pages that the relay serves: valid markup, a description, and no layout shift while
// they load.
import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { after, before, test } from "node:test";
import { HtmlValidate } from "html-validate";
import { launch, open, startPlane, startRelay } from "./helpers.mjs";

let browser, demo, plane, plain;
/** @type {Record<string, string>} */
const pages = {};

before(async () => {
  browser = await launch();
  demo = await startRelay("demo", { RELAY_ADMIN_ADDR: "127.0.0.1:0" });
  plane = await startPlane();
  plain = await startRelay("serve", { ...plane.env, RELAY_TITLE: 'Ask "us" & <them>', RELAY_GREETING: 'Hi & "welcome" <you>', RELAY_LOCALE: "de" });
  pages.demo = demo.url;
  pages.playground = `${demo.url}playground`;
  pages.console = `http://${JSON.parse(demo.log().split("\n").find((line) => line.includes('"msg":"admin"'))).addr}/`;
  pages.page = plain.url;
});
after(async () => {
  await browser?.close();
  await demo?.stop();
  await plain?.stop();
  await plane?.stop();
});

for (const name of ["demo", "playground", "console", "page"]) {
  test(`the markup of the ${name} is valid, and says what it is`, async () => {
    const text = await (await fetch(pages[name])).text();
    const report = await new HtmlValidate({
      extends: ["html-validate:standard"],
      rules: {
        "require-sri": "off", // everything is loaded from the relay itself
      },
    }).validateString(text);
    const found = report.results.flatMap((r) => r.messages.map((m) => `${m.line}:${m.column} ${m.ruleId}: ${m.message}`));
    assert.deepEqual(found, []);
    assert.doesNotMatch(text, /(?:href|src)="[^"]*\s[^"]*"/, "no address has a space");
    assert.match(text, /<meta name="description" content="[^"]{10,}">/);
    assert.match(text, /<title>[^<]+<\/title>/);
  });
}

for (const viewport of [{ width: 360, height: 740 }, { width: 1280, height: 800 }]) {
  for (const name of ["demo", "playground", "page"]) {
    test(`nothing moves while the ${name} loads, ${viewport.width} wide`, async () => {
      for (let i = 0; i < 3; i++) await loadsStill(name, viewport, pages[name]);
    });

    test(`nothing moves while the ${name} arrives in pieces, ${viewport.width} wide`, async () => {
      const slow = await inPieces(pages[name]);
      await loadsStill(name, viewport, slow.url, slow.rest);
      await slow.stop();
    });
  }
}

/**
 * Loads a page and fails when anything in it moves.
 * @param {string} name @param {{width: number, height: number}} viewport @param {string} url
 * @param {(painted: () => Promise<void>) => Promise<void>} [rest] sends what the server holds back
 */
async function loadsStill(name, viewport, url, rest) {
  const context = await browser.newContext({ viewport });
  await context.addInitScript(() => {
    globalThis.moved = [];
    new PerformanceObserver((list) => {
      for (const e of list.getEntries()) globalThis.moved.push({ value: e.value, of: e.sources.map((s) => s.node?.nodeName + (s.node?.id ?? "")).join() });
    }).observe({ type: "layout-shift", buffered: true });
  });
  const page = await context.newPage();
  const painted = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  await page.goto(url, { waitUntil: rest ? "commit" : "load" });
  await rest?.(painted);
  await page.locator(name === "playground" ? "relay-chat" : "relay-chat textarea").first().waitFor({ state: name === "playground" ? "attached" : "visible" });
  await painted();
  const moved = await page.evaluate(() => globalThis.moved);
  const sum = moved.reduce((all, m) => all + m.value, 0);
  assert.ok(sum < 0.02, `moved by ${sum}: ${JSON.stringify(moved)}`);
  await context.close();
}

/**
 * Serves a page in pieces, as a slow network does, and everything else as it is. `rest`
 * sends one piece after the other, each when the browser has painted the one before.
 * @param {string} url
 */
async function inPieces(url) {
  const text = await (await fetch(url)).text();
  const [first, ...pieces] = text.split(/(?<=<\/(?:main|aside|form|section|fieldset|summary|relay-chat)>)/);
  /** @type {import("node:http").ServerResponse} */
  let page;
  const server = createServer((req, res) => {
    if (new URL(url).pathname === req.url) {
      page = res.writeHead(200, { "content-type": "text/html; charset=utf-8" });
      page.write(first);
      return;
    }
    const to = request(new URL(req.url, url), { method: req.method, headers: req.headers }, (from) => from.pipe(res.writeHead(from.statusCode, from.headers)));
    res.on("close", () => to.destroy());
    req.pipe(to).on("error", () => res.destroy());
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", () => done(undefined)));
  const rest = async (/** @type {() => Promise<void>} */ painted) => {
    for (const piece of pieces) {
      await painted();
      page.write(piece);
    }
    page.end();
  };
  const stop = () => (server.closeAllConnections(), new Promise((done) => server.close(done)));
  return { url: `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}${new URL(url).pathname}`, rest, stop };
}

test("the demo's guide is closed on a phone and open elsewhere", async () => {
  const context = await browser.newContext({ viewport: { width: 360, height: 740 } });
  const page = await open(context, pages.demo);
  const guide = page.locator("#guide");
  assert.equal(await guide.getAttribute("open"), null);
  await guide.locator("summary").click();
  await page.getByText("Try a message").waitFor();
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.setViewportSize({ width: 360, height: 740 });
  await page.waitForFunction(() => !document.getElementById("guide").open);
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.waitForFunction(() => document.getElementById("guide").open);
  assert.deepEqual(page.wrong, []);
  await context.close();
});
