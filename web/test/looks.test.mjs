// The page and the popup on several screens, also as screenshots in RELAY_SHOTS.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { FakeRelay, startSite } from "./fake-relay.mjs";
import { composer, eventually, launch, open, picture, say, settled, startRelay, transcript } from "./helpers.mjs";

const looks = [
  { name: "desktop-light", colorScheme: "light", viewport: { width: 1280, height: 800 } },
  { name: "desktop-dark", colorScheme: "dark", viewport: { width: 1280, height: 800 } },
  { name: "phone-light", colorScheme: "light", viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
  { name: "phone-dark", colorScheme: "dark", viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
];

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

async function send(page, text) {
  await say(page, text);
  const button = page.locator("relay-chat .send");
  if (await composer(page).inputValue()) await button.click(); // on touch screens, Enter is a new line
}

// The demo answers slowly, like an agent: its visitors wait concurrently.
describe("the page and the popup fit", { concurrency: true }, () => looks.forEach(({ name, ...options }) => {
  test(name, async () => {
    const context = await browser.newContext({ ...options, reducedMotion: "reduce" });
    const shot = (page, what) => picture(page, `${what}-${name}`);
    /** Nothing may overflow horizontally. */
    const fits = async (page) => assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);

    const page = await open(context, demo.url);
    await composer(page).waitFor();
    await eventually(async () => assert.equal(await page.locator("relay-chat .dot").getAttribute("data-state"), "open"));
    await shot(page, "page-empty");
    await send(page, "table");
    await settled(page);
    await send(page, "question");
    await page.locator("relay-chat .question").waitFor();
    await shot(page, "page-talk");
    await fits(page);
    await page.close();

    const relay = await new FakeRelay().start();
    relay.settings = { title: "Ask us", greeting: "Hello! What can we do for you?", starters: ["Opening hours", "Talk to sales"] };
    relay.agent = async (r, v, text) => {
      r.emit(v, "tool", { name: "Bash", state: "running", summary: "go test ./..." });
      r.emit(v, "text", { text: `Here you are: **${text}** and a list.\n\n1. One\n   - inner\n2. Two\n\n\`\`\`js\nlet a = "a line that is far too long for the panel to hold it without scrolling";\n\`\`\`\n\n| wide | table | with | many | columns | here |\n|--|--|--|--|--|--|\n| aaaaaaa | bbbbbbbb | ccccccc | ddddddd | eeeeeee | fffffff |`, delta: false });
      r.emit(v, "approval", { id: "a", tool: "Bash", input: { command: "make" } });
    };
    const site = await startSite(`<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Site</title><body><h1>A website</h1><p>With some words on it.</p><script async src="${relay.url}widget.js" data-accent="${name.includes("dark") ? "#ffb000" : "#0f766e"}"></script></body></html>`);
    const host = await open(context, site.url);
    await host.locator("relay-chat .launcher").click();
    await composer(host).waitFor();
    await shot(host, "popup-empty");
    await send(host, "show me");
    await eventually(async () => assert.equal((await transcript(host)).length, 3));
    await shot(host, "popup-talk");
    await fits(host);
    const box = await host.locator("relay-chat .shell").boundingBox();
    assert.ok(box.x >= 0 && box.y >= 0 && box.x + box.width <= options.viewport.width && box.y + box.height <= options.viewport.height, JSON.stringify(box));
    for (const p of [page, host]) assert.deepEqual(p.wrong, []);
    await context.close();
    await site.stop();
    await relay.stop();
  });
}));
