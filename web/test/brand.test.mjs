// A website's own look and texts: icon, avatar, label, strings, size.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { FakeRelay, problem, startSite } from "./fake-relay.mjs";
import { composer, eventually, launch, open, say, settled } from "./helpers.mjs";

const red = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

let browser;
let relay;
let context;
before(async () => {
  browser = await launch();
});
after(() => browser.close());
beforeEach(async () => {
  relay = await new FakeRelay().start();
  context = await browser.newContext({ locale: "en-US" });
});
afterEach(async () => {
  await context.close();
  await relay.stop();
});

const policy = () => ({ "content-security-policy": `default-src 'none'; script-src ${new URL(relay.url).origin}; connect-src ${new URL(relay.url).origin}; require-trusted-types-for 'script'; trusted-types 'none'` });
const page_ = (attributes) => `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Site</title><script async src="${relay.url}widget.js" ${attributes}></script></html>`;
const launcher = (page) => page.locator("relay-chat [part=launcher]");

/** The color in the middle of a canvas. */
const middle = (canvas) => canvas.evaluate((c) => [...c.getContext("2d").getImageData(c.width / 2, c.height / 2, 1, 1).data].join(" "));

test("icon, avatar and text are the website's, under a policy that forbids images", async () => {
  const site = await startSite(page_(`data-icon="${red}" data-avatar="${red}" data-label="Fragen? 有问题？" data-title="Ada"`), policy());
  const page = await open(context, site.url);
  await eventually(async () => assert.equal(await middle(launcher(page).locator("canvas")), "255 0 0 127"));
  assert.equal((await launcher(page).innerText()).trim(), "Fragen? 有问题？");
  assert.equal(await launcher(page).getAttribute("aria-label"), "Fragen? 有问题？", "what is read is what is seen");
  assert.ok(!relay.requests.some((r) => /panel/.test(r.path)), "the panel is not needed for it");
  const box = await launcher(page).boundingBox();
  assert.ok(box.width > 100 && box.height < 60, JSON.stringify(box));
  await launcher(page).click();
  await composer(page).waitFor();
  await eventually(async () => assert.equal(await middle(page.locator("relay-chat .head .avatar")), "255 0 0 127"));
  await eventually(async () => assert.deepEqual(await launcher(page).locator(":is(svg,canvas)").evaluateAll((all) => all.map((el) => getComputedStyle(el).opacity)), ["0", "1"]));
  await page.evaluate(() => window.RelayChat.update({ avatar: "" }));
  await eventually(async () => assert.equal(await page.locator("relay-chat .head .avatar").count(), 0));
  assert.deepEqual(page.wrong, []);
  await site.stop();
});

test("an icon may be a path, and one that can't be had leaves the widget's own", async () => {
  for (const [icon, want] of [["M4 4h16v16H4z", "M4 4h16v16H4z"], ["https://nowhere.invalid/x.png", "M4 20l2"], ["data:image/png;base64,AAAA", "M4 20l2"], ["javascript:alert(1)", "M4 20l2"], ["<svg onload=alert(1)>", "M4 20l2"]]) {
    const site = await startSite(page_(`data-icon="${icon.replace(/</g, "&lt;")}" data-label="x"`));
    const page = await open(context, site.url);
    await launcher(page).locator("span.text").waitFor();
    await eventually(async () => assert.ok((await launcher(page).locator("path").first().getAttribute("d")).startsWith(want), icon));
    assert.equal(await launcher(page).locator("script, img, image, use").count(), 0);
    assert.deepEqual(page.wrong.filter((w) => !/nowhere/.test(w)), []);
    await page.close();
    await site.stop();
  }
});

test("every word can be the website's own, in each language", async () => {
  const strings = { placeholder: "Ask away", de: { placeholder: "Frag los", unread: { one: "{n} neu", other: "{n} neue" } }, ar: { placeholder: "اسأل" }, ja: { placeholder: "質問をどうぞ" }, ko: { placeholder: "x" }, internal: "Ouch." };
  const attribute = JSON.stringify(strings).replaceAll('"', "&quot;");
  const site = await startSite(page_(`data-open data-locale="en" data-strings="${attribute}"`));
  const page = await open(context, site.url);
  const placeholder = (text) => eventually(async () => assert.equal(await composer(page).getAttribute("placeholder"), text));
  await placeholder("Ask away");
  for (const [locale, text] of [["de", "Frag los"], ["ar", "اسأل"], ["ja", "質問をどうぞ"], ["zh", "Ask away"], ["en", "Ask away"]]) {
    await page.evaluate((locale) => window.RelayChat.update({ locale }), locale);
    await placeholder(text);
  }
  relay.fault = (req, res, path) => path === "/v1/messages" && (problem(res, 400, "internal"), true);
  await say(page, "hi");
  await eventually(async () => assert.match(await page.locator("relay-chat .user .meta").textContent(), /^Not sent: Ouch\./, "what a refusal says, too"));
  await page.evaluate(() => window.RelayChat.update({ strings: { placeholder: "Now this", send: "Go" } }));
  await placeholder("Now this");
  assert.equal(await page.locator("relay-chat [part=send]").getAttribute("aria-label"), "Go");
  const warnings = [];
  page.on("console", (m) => m.type() === "warning" && warnings.push(m.text()));
  await page.evaluate(() => window.RelayChat.update({ strings: "{oops" }));
  await placeholder("Write a message…");
  assert.match(warnings.join(), /"strings" is not JSON/);
  assert.deepEqual(page.wrong, []);
  await site.stop();
});

test("the panel has the size that was set, where there is room", async () => {
  const site = await startSite(page_(`data-open data-width="500" data-height="30rem"`));
  const page = await open(context, site.url);
  const panel = page.locator("relay-chat [part=panel]");
  await panel.waitFor();
  const size = async () => {
    const box = await panel.evaluate((el) => ({ w: el.offsetWidth, h: el.offsetHeight }));
    return `${box.w} × ${box.h}`;
  };
  await eventually(async () => assert.equal(await size(), "500 × 480"));
  await page.evaluate(() => window.RelayChat.update({ width: 600, height: "34rem" }));
  await eventually(async () => assert.match(await size(), /^600 × 544/));
  await page.evaluate(() => window.RelayChat.update({ width: "red;}" }));
  await eventually(async () => assert.match(await size(), /^404 × /));
  await page.setViewportSize({ width: 390, height: 844 });
  await eventually(async () => assert.match(await size(), /^390 × /, "a phone's panel is as large as the phone"));
  await site.stop();
});

test("without any of it nothing of it is loaded", async () => {
  const page = await open(context, relay.url);
  await say(page, "hi");
  await settled(page);
  assert.ok(!relay.requests.some((r) => /brand|encoding|cards|files/.test(r.path)));
});
