// The playground as a website's owner uses it: change, look, copy, paste.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { violations, wcag } from "./axe.mjs";
import { startSite } from "./fake-relay.mjs";
import { composer, eventually, launch, open, say, settled, startPlane, startRelay } from "./helpers.mjs";

let browser;
let demo;
before(async () => {
  browser = await launch();
  demo = await startRelay("demo");
});
after(async () => {
  await browser.close();
  await demo.stop();
});

const snippet = (page) => page.locator("#snippet").textContent();

test("there is one widget, however late the page's own script comes", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.route(/playground\.\w+\.js$/, async (route) => {
    await new Promise((done) => setTimeout(done, 500));
    await route.continue();
  });
  await page.goto(`${demo.url}playground`);
  await page.locator("#place relay-chat .launcher").waitFor();
  assert.equal(await page.locator("relay-chat").count(), 1);
  await context.close();
});

test("the knobs turn the widget, and the snippet says the same", async () => {
  const context = await browser.newContext();
  const page = await open(context, `${demo.url}playground`);
  await page.locator("relay-chat .launcher").waitFor();
  const src = await page.locator("#knobs").getAttribute("data-src");
  assert.equal(await snippet(page), `<script async src="${src}"></script>`, "nothing turned, nothing to say");
  await page.locator("relay-chat .launcher").click();
  await composer(page).waitFor(); // it takes the focus, which must not happen during the next input
  await page.getByLabel("Title").fill('Ask "us" & <them>');
  await page.getByLabel("Greeting").fill("Good day!");
  await page.getByLabel("Starters").fill("One\n\n Two ");
  await page.getByLabel("Accent").fill("#0f766e");
  await page.getByLabel("Theme").selectOption("dark");
  await page.getByLabel("Corners").fill("4");
  await page.getByLabel("Side offset").fill("48");
  await eventually(async () => assert.equal(await page.locator("relay-chat h2").textContent(), 'Ask "us" & <them>'));
  const looks = await page.evaluate(() => {
    const root = document.querySelector("relay-chat").shadowRoot;
    const shell = root.querySelector(".shell");
    return { greeting: root.querySelector(".greeting").textContent, starters: [...root.querySelectorAll(".starter")].map((s) => s.textContent), theme: shell.dataset.theme, radius: getComputedStyle(shell).borderTopLeftRadius, launcher: getComputedStyle(root.querySelector(".launcher")).backgroundColor, right: innerWidth - root.querySelector(".launcher").getBoundingClientRect().right };
  });
  assert.deepEqual(looks, { greeting: "Good day!", starters: ["One", "Two"], theme: "dark", radius: "4px", launcher: "rgb(15, 118, 110)", right: 48 });
  assert.equal(await snippet(page), `<style>relay-chat { --relay-radius: 4px }</style>\n<script async src="${src}" data-title="Ask &quot;us&quot; &amp; &lt;them>" data-greeting="Good day!" data-starters="One|Two" data-accent="#0f766e" data-theme="dark" data-offset-x="48"></script>`);
  await page.getByLabel("Language").selectOption("de");
  await eventually(async () => assert.equal(await page.locator("relay-chat textarea").getAttribute("aria-label"), "Nachricht"));
  await page.getByLabel("Mode").selectOption("inline");
  await composer(page).waitFor();
  assert.equal(await page.locator("#place .shell").isVisible(), true);
  assert.match(await snippet(page), /^<style>.*<\/style>\n<relay-chat .*mode="inline".*><\/relay-chat>\n<script async src="[^"]*"><\/script>$/);
  await page.reload();
  await composer(page).waitFor();
  assert.equal(await page.getByLabel("Title").inputValue(), 'Ask "us" & <them>', "the address keeps the knobs");
  assert.equal(await page.locator("relay-chat h2").textContent(), 'Ask "us" & <them>');
  await page.getByRole("button", { name: "Reset" }).click();
  await eventually(async () => assert.equal(await snippet(page), `<script async src="${src}"></script>`));
  assert.equal(await page.locator("relay-chat .launcher").isVisible(), true);
  assert.deepEqual(page.wrong, []);
  await context.close();
});

test("what was copied works when it is pasted into a website", async () => {
  const context = await browser.newContext();
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(demo.url).origin });
  const page = await open(context, `${demo.url}playground`);
  await page.getByLabel("Title").fill("Ask us");
  await page.getByLabel("Starters").fill("table");
  await page.getByLabel("Open on page load").check();
  await page.getByRole("button", { name: "Copy" }).click();
  await page.getByText("Copied").waitFor();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  const plane = await startPlane();
  const site = await startSite("");
  const relay = await startRelay("serve", { ...plane.env, RELAY_ALLOWED_ORIGINS: new URL(site.url).origin });
  try {
    const src = await page.locator("#knobs").getAttribute("data-src");
    assert.ok(copied.includes(src));
    site.html = `<!doctype html><title>Site</title><h1>Site</h1>${copied.replace(src, `${relay.url}widget.js`)}`;
    const there = await open(context, site.url);
    await composer(there).waitFor();
    assert.equal(await there.locator("relay-chat h2").textContent(), "Ask us");
    await there.locator("relay-chat .starter").click();
    await settled(there);
    await there.locator("relay-chat table").waitFor();
    assert.deepEqual(there.wrong, []);
  } finally {
    await context.close();
    await relay.stop();
    await site.stop();
    await plane.stop();
  }
});

// The demo answers slowly, like an agent: its visitors wait concurrently.
describe("the playground passes axe and fits", { concurrency: true }, () => [{ colorScheme: "light" }, { colorScheme: "dark", viewport: { width: 390, height: 780 } }].forEach((options) => {
  test(JSON.stringify(options), async () => {
    const context = await browser.newContext(options);
    const page = await open(context, `${demo.url}playground`);
    await page.locator("relay-chat .launcher").click();
    await say(page, "hello");
    await settled(page);
    assert.deepEqual(await violations(page, { rules: wcag }), []);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
    assert.deepEqual(page.wrong, []);
    await context.close();
  });
}));
