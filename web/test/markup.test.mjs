// The pages that the relay serves: valid markup, a description, and no layout shift while
// they load.
import assert from "node:assert/strict";
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
      for (let i = 0; i < 3; i++) {
        const context = await browser.newContext({ viewport });
        await context.addInitScript(() => {
          globalThis.moved = [];
          new PerformanceObserver((list) => {
            for (const e of list.getEntries()) globalThis.moved.push({ value: e.value, of: e.sources.map((s) => s.node?.nodeName + (s.node?.id ?? "")).join() });
          }).observe({ type: "layout-shift", buffered: true });
        });
        const page = await open(context, pages[name]);
        await page.locator(name === "playground" ? "relay-chat" : "relay-chat textarea").first().waitFor({ state: name === "playground" ? "attached" : "visible" });
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
        const moved = await page.evaluate(() => globalThis.moved);
        const sum = moved.reduce((all, m) => all + m.value, 0);
        assert.ok(sum < 0.02, `moved by ${sum}: ${JSON.stringify(moved)}`);
        await context.close();
      }
    });
  }
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
