// Visitors' actions besides messages, once end to end with the real relay: consent, a
// rating, an earlier conversation, a download, an erasure.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { composer, eventually, launch, open, say, settled, startPlane, startRelay, transcript } from "./helpers.mjs";

let browser, plane, relay;
before(async () => {
  [browser, plane] = await Promise.all([launch(), startPlane()]);
  relay = await startRelay("serve", { ...plane.env, RELAY_FEEDBACK: "on", RELAY_CONSENT: "Your messages are kept for 30 days." });
});
after(async () => {
  await browser.close();
  await relay.stop();
  await plane.stop();
});

const part = (page, name) => page.locator(`relay-chat [part~=${name}]`);
const pressed = (page) => page.getByRole("button", { name: "Good answer" }).last().getAttribute("aria-pressed");

test("a visitor agrees, rates, begins anew, reads the old conversation, and has everything erased", async () => {
  const context = await browser.newContext({ reducedMotion: "reduce" });
  const page = await open(context, relay.url);
  await composer(page).fill("my secret plan");
  await composer(page).press("Enter");
  const gate = page.locator("relay-chat .consent");
  await gate.waitFor();
  const taken = page.locator("relay-chat [data-role]:not([data-state=failed])");
  assert.equal(await taken.count(), 0, "nothing is taken before");
  await gate.locator(".strong").click();
  await settled(page);
  assert.equal((await transcript(page))[0], "user: my secret plan");

  const tab = await open(context, relay.url);
  await settled(tab);
  await page.getByRole("button", { name: "Good answer" }).last().click();
  await eventually(async () => assert.equal(await pressed(tab), "true", "the other tab shows it"));
  await page.reload();
  await settled(page);
  await eventually(async () => assert.equal(await pressed(page), "true", "a reload shows it"));

  await part(page, "new").click();
  await page.locator("relay-chat .confirm .strong").click();
  await eventually(async () => assert.deepEqual(await transcript(page), []));
  await say(page, "something else");
  await settled(page);
  await part(page, "menu").first().click();
  await page.getByRole("menuitem", { name: "Earlier conversations" }).click();
  await page.getByRole("button", { name: "my secret plan" }).click();
  await eventually(async () => assert.match((await page.locator("relay-chat .past").textContent()) ?? "", /You said .my secret plan/));
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");

  await part(page, "menu").first().click();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name: "Download my conversations" }).click()]);
  const copy = JSON.parse(readFileSync(await file.path(), "utf8"));
  assert.deepEqual(copy.conversations.map((c) => c.title).sort(), ["my secret plan", "something else"]);
  assert.deepEqual(copy.feedback.map((f) => f.rating), ["up"]);

  await part(page, "menu").first().click();
  await page.getByRole("menuitem", { name: "Delete this conversation" }).click();
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await eventually(async () => assert.deepEqual(await transcript(page), []));
  await eventually(async () => assert.deepEqual(await transcript(tab), [], "the other tab forgets it, too"));
  assert.deepEqual([page.wrong, tab.wrong], [[], []]);
});
