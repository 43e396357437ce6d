// The effects of the demo's words, in Chromium.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, launch, open, say, settled, startRelay, transcript } from "./helpers.mjs";

let browser;
let relay;
before(async () => {
  browser = await launch();
  relay = await startRelay("demo");
});
after(async () => {
  await browser.close();
  await relay.stop();
});

// The demo answers slowly, like an agent: its visitors wait concurrently.
describe("the demo", { concurrency: true }, () => {
  test("a question is answered with a click, and stays readable", async () => {
    const context = await browser.newContext();
    const page = await open(context, relay.url);
    await page.locator("[data-word=question]").click();
    const card = page.locator("relay-chat [data-role=question]");
    await card.waitFor();
    await card.locator(".choice").first().click();
    await eventually(async () => assert.match(await card.locator(".outcome").textContent(), /^Answered: /));
    assert.equal(await card.locator(".choice").first().getAttribute("aria-pressed"), "true");
    await settled(page, 2);
    await page.reload();
    await eventually(async () => assert.match(await page.locator("relay-chat .question .outcome").textContent(), /^Answered/));
    assert.deepEqual(page.wrong, []);
    await context.close();
  });

  test("a permission prompt is decided, a failure can be tried again", async () => {
    const context = await browser.newContext();
    const page = await open(context, relay.url);
    await say(page, "permission");
    await page.locator("relay-chat .approval .strong").click();
    await eventually(async () => assert.equal(await page.locator("relay-chat .approval .outcome").textContent(), "Allowed"));
    await settled(page);
    await say(page, "fail");
    await page.locator("relay-chat .note.bad .link").click();
    await eventually(async () => assert.equal((await transcript(page)).filter((t) => t === "user: fail").length, 2));
    assert.deepEqual(page.wrong, []);
    await context.close();
  });

  test("all of the demo's words work under the page's strict policy", async () => {
    const context = await browser.newContext();
    const page = await open(context, relay.url);
    for (const word of ["tool", "code", "table", "think"]) {
      await page.locator(`[data-word=${word}]`).click();
      await eventually(async () => assert.equal((await transcript(page)).filter((t) => t === `user: ${word}`).length, 1));
    }
    await settled(page, 4);
    assert.equal(await page.locator("relay-chat .code pre").count() > 0, true);
    assert.equal(await page.locator("relay-chat table").count() > 0, true);
    assert.equal(await page.locator("relay-chat .tool").count() > 0, true);
    assert.deepEqual(page.wrong, []);
    await context.close();
  });
});
