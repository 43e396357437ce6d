// The operators' page, in Chromium, against the real relay and the scripted agent.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { violations } from "./axe.mjs";
import { eventually, launch, open, picture, startPlane, startRelay } from "./helpers.mjs";

const token = "0123456789abcdef0123456789abcdef";
let browser, plane, relay, admin;

before(async () => {
  browser = await launch();
  plane = await startPlane({ PLANE_TERSE: "1" }); // there is still time to stop the agent that counts to two hundred
  relay = await startRelay("serve", { ...plane.env, RELAY_ADMIN_ADDR: "127.0.0.1:0", RELAY_ADMIN_TOKEN: `ann:${token}`, RELAY_VISIBILITY: "tools", RELAY_APPROVALS: "off", RELAY_FEEDBACK: "on", RELAY_CONSOLE_READ: "on" });
  admin = `http://${JSON.parse(relay.log().split("\n").find((line) => line.includes('"msg":"admin"'))).addr}/`;
});
after(async () => {
  await browser?.close();
  await relay?.stop();
  await plane?.stop();
});

async function visit(path, options = {}) {
  const res = await fetch(relay.url + path, options);
  return { status: res.status, body: await res.json().catch(() => ({})) };
}

/** A visitor who has sent a message. */
async function visitor(text) {
  const { body } = await visit("v1/visitor", { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"carrier":"bearer"}' });
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${body.token}` };
  const say = (words) => visit("v1/messages", { method: "POST", headers, body: JSON.stringify({ text: words }) });
  assert.equal((await eventually(async () => {
    const got = await say(text);
    assert.equal(got.status, 202);
    return got;
  })).status, 202);
  return { headers, say };
}

async function enter(page) {
  await page.locator("#token").fill(token);
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("heading", { name: "Conversations" }).waitFor();
}

async function accessible(page, what) {
  assert.deepEqual(await violations(page), [], what);
}

/**
 * Counts the most rows that one task adds to a list, with a clock that advances by 1 ms each
 * time that it is read: the page then gives way after as many rows on every machine.
 */
const countRows = () => {
  let now = 0;
  performance.now = () => now++;
  globalThis.most = 0;
  new MutationObserver((changes) => {
    const added = changes.flatMap((c) => [...c.addedNodes]).filter((node) => node instanceof Element && node.matches("ol > li, ul > li"));
    globalThis.most = Math.max(globalThis.most, added.length);
  }).observe(document, { childList: true, subtree: true });
};

test("a wrong token is asked for again, and nothing is kept", async () => {
  const context = await browser.newContext();
  const page = await open(context, admin);
  await page.locator("#token").fill("not-the-token-of-anybody");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByText("The relay does not accept this token.").waitFor();
  await enter(page);
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length + document.cookie.length), 0);
  await page.reload();
  await page.locator("#token").waitFor();
  assert.deepEqual(page.wrong, []);
  await context.close();
});

test("a prompt is shown as it is, decided, and gone; the list is live", async () => {
  const context = await browser.newContext();
  const page = await open(context, admin);
  await enter(page);
  const v = await visitor("Ask for permission");
  const card = page.locator("#waiting > li").first();
  await card.getByRole("button", { name: "Approve" }).waitFor();
  assert.match(await card.locator("pre").textContent(), /"command"/);
  await picture(page, "console-desktop", { fullPage: true });
  await accessible(page, "with a prompt");
  await card.getByRole("button", { name: "Approve" }).click();
  await eventually(async () => assert.equal(await page.locator("#waiting > li").count(), 0));
  const rows = page.locator("#rows > li");
  await rows.first().waitFor();
  assert.doesNotMatch(await page.locator("#main").textContent(), /Ask for permission/, "no word of a conversation");

  await rows.first().getByRole("button", { name: "End" }).click();
  await page.getByRole("button", { name: "End conversation" }).click();
  await eventually(async () => assert.match(await rows.first().locator(".facts").textContent(), /^ended/));

  await rows.first().getByRole("button", { name: "Block visitor" }).click();
  await page.getByRole("button", { name: "Block", exact: true }).last().click();
  await page.getByRole("button", { name: "Unblock" }).waitFor();
  await eventually(async () => assert.equal((await v.say("hello")).status, 403));
  await page.getByRole("button", { name: "Unblock" }).click();
  await eventually(async () => assert.equal((await v.say("hello")).status, 202));
  assert.deepEqual(page.wrong, []);
  await context.close();
});

test("a pause is previewed in the visitors' words, made by keyboard, and ended", async () => {
  const context = await browser.newContext({ viewport: { width: 360, height: 740 }, colorScheme: "dark" });
  const page = await open(context, admin);
  await enter(page);
  const v = await visitor("Hello");
  await page.getByLabel("Message to visitors while the chat is paused").fill("Back at six.");
  assert.equal(await page.locator("#pause-preview").textContent(), "Back at six.");
  await page.getByRole("button", { name: "Pause new messages" }).focus();
  await page.keyboard.press("Enter");
  await page.getByText("Visitors will see: Back at six.", { exact: false }).last().waitFor();
  await picture(page, "console-phone-dark", { fullPage: true });
  await page.getByRole("button", { name: "Pause", exact: true }).press("Enter");
  await page.getByRole("button", { name: "Accept new messages" }).waitFor();
  const refused = await v.say("hi");
  assert.deepEqual([refused.status, refused.body.detail], [503, "Back at six."]);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than a phone");
  await page.getByRole("button", { name: "Accept new messages" }).click();
  await eventually(async () => assert.equal((await v.say("hi")).status, 202));
  assert.deepEqual(page.wrong, []);
  await context.close();
});

test("usage is a chart, a sentence and a table, in both themes and on a phone", async () => {
  await visitor("Hello");
  for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ colorScheme });
    const page = await open(context, admin);
    await enter(page);
    await eventually(async () => assert.match(await page.locator("#usage-today").textContent(), /^Today: [1-9]\d* turns?, [1-9]\d* new conversations?, rated 0 up and 0 down\.$/));
    assert.match(await page.getByRole("img").getAttribute("aria-labelledby"), /^usage-caption$/);
    assert.ok(Number(await page.locator("#usage-chart .turns").nth(29).getAttribute("height")) > 0, "today's bar");
    assert.equal(await page.locator("#usage-sites").isVisible(), false, "there is one site");

    // The data of another day and another site, as the API returns it.
    const today = new Date().toISOString().slice(0, 10);
    const before = new Date(Date.now() - 29 * 86_400_000).toISOString().slice(0, 10);
    const row = (date, site, turns, sessions, up, down) => ({ date, site, turns, sessions, feedback: { up, down } });
    const days = [row(today, "default", 3, 1, 1, 0), row(today, "shop", 1, 1, 0, 0), row(before, "shop", 8, 4, 0, 2)];
    for (let i = 1; i < 28; i++) days.push(row(new Date(Date.now() - i * 86_400_000).toISOString().slice(0, 10), "default", (i * 7) % 23 * 50, (i * 5) % 11 * 20, i % 4, i % 3));
    await page.route("**/api/usage", (route) => route.fulfill({ json: { days } }));
    await page.reload();
    await enter(page);
    await eventually(async () => assert.equal(await page.locator("#usage-today").textContent(), "Today: 4 turns, 2 new conversations, rated 1 up and 0 down."));
    await page.getByLabel("Site").focus();
    await picture(page, `console-usage-${colorScheme}`, { fullPage: true });
    await page.getByLabel("Site").selectOption("shop");
    assert.equal(await page.locator("#usage-today").textContent(), "Today: 1 turn, 1 new conversation, rated 0 up and 0 down.");
    assert.deepEqual(await page.locator("#usage-chart .turns").evaluateAll((all) => [0, 28, 29].map((i) => Number(all[i].getAttribute("height")))), [60, 0, 7.5]);
    await page.getByText("Show as table").focus();
    await page.keyboard.press("Enter");
    assert.equal(await page.locator("#usage-rows tr").count(), 30);
    assert.deepEqual(await page.locator("#usage-rows tr").last().locator("th, td").allTextContents(), [before, "8", "4", "0", "2"]);
    await accessible(page, colorScheme);
    await page.setViewportSize({ width: 360, height: 740 });
    await page.getByLabel("Site").selectOption("");
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than a phone");
    await picture(page, `console-usage-phone-${colorScheme}`, { fullPage: true });
    assert.deepEqual(page.wrong, []);
    await context.close();
  }
});

test("a conversation is read in a dialog, by keyboard, and gone from the page when it is closed", async () => {
  const v = await visitor("Ask for permission <img src=x onerror=alert(1)>");
  for (const [colorScheme, viewport] of [["light", { width: 1280, height: 800 }], ["dark", { width: 360, height: 740 }]]) {
    const context = await browser.newContext({ colorScheme, viewport });
    const page = await open(context, admin);
    await enter(page);
    await page.locator("#waiting > li").first().getByRole("button", { name: "Read" }).press("Enter");
    const said = page.locator("#transcript-list > li");
    await eventually(async () => assert.ok((await said.count()) >= 3));
    assert.deepEqual(await said.first().locator("strong, p").allTextContents(), ["Visitor", "Ask for permission <img src=x onerror=alert(1)>"]);
    assert.deepEqual(await said.last().locator("strong, p").allTextContents(), ["Permission", "operator decides"]);
    assert.equal(await page.getByRole("dialog").getByRole("status").textContent(), "End of the conversation.");
    await accessible(page, "a transcript");
    await picture(page, `console-transcript-${colorScheme}`, { fullPage: true });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than the page");
    await page.keyboard.press("Escape");
    await eventually(async () => assert.equal(await said.count(), 0));
    assert.doesNotMatch(await page.locator("body").textContent(), /Ask for permission </, "nothing that was said stays");
    assert.deepEqual(page.wrong, []);
    await context.close();
  }
  assert.equal(relay.log().split("\n").filter((line) => /"msg":"audit".*"action":"transcript"/.test(line)).length, 2, "each reading is logged");
  void v;
});

test("Stop stops what the agent does, and the visitor's chat goes on", async () => {
  const context = await browser.newContext({ viewport: { width: 360, height: 740 } });
  const page = await open(context, admin);
  await enter(page);
  const v = await visitor("count");
  const row = page.locator("#rows > li").first();
  await eventually(async () => assert.match(await row.locator(".facts").textContent(), /^running, busy · .*/));
  await row.getByRole("button", { name: "Stop" }).press("Enter");
  await page.locator("#state").getByText("Stopped.").waitFor();
  await eventually(async () => assert.match(await row.locator(".facts").textContent(), /^sleeping · /));
  const said = async () => (await visit("v1/transcript?limit=1000", { headers: v.headers })).body.events;
  await eventually(async () => assert.equal((await said()).at(-1).data.reason, "stopped"));
  // Nothing is running, so nothing happens.
  await Promise.all([page.waitForResponse((res) => res.url().endsWith("/stop")), row.getByRole("button", { name: "Stop" }).press("Enter")]);
  await eventually(async () => assert.equal((await v.say("Hello")).status, 202));
  await eventually(async () => assert.equal((await said()).at(-1).data.reason, "done"));
  assert.deepEqual(page.wrong, []);
  await context.close();
});

test("a long conversation is read page by page, in small tasks", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.route("**/transcript?*", (route) => {
    const since = Number(new URL(route.request().url()).searchParams.get("since"));
    const events = [];
    if (since > 0) events.push({ event: "text", data: { text: "and the end.", delta: true } }, { event: "text", data: { text: "The start and the end.", delta: false } });
    for (let i = 0; i < 1000; i++) events.push({ event: "user", data: { text: `word ${since + i} `.repeat(20), attachments: [] } });
    if (since === 0) events.push({ event: "text", data: { text: "The start ", delta: true } });
    return route.fulfill({ json: { events, next_since: since === 0 ? 1000 : null } });
  });
  await page.addInitScript(countRows);
  await visitor("Hello");
  await page.goto(admin);
  await enter(page);
  await page.locator("#rows > li").first().getByRole("button", { name: "Read" }).click();
  await eventually(async () => assert.equal(await page.locator("#transcript-list > li").count(), 1000));
  await page.evaluate(() => (globalThis.most = 0));
  await page.locator("#transcript-more").click();
  await eventually(async () => assert.equal(await page.locator("#transcript-list > li").count(), 2001));
  assert.equal(await page.locator("#transcript-list > li").nth(1000).locator("p").textContent(), "The start and the end.");
  assert.equal(await page.locator("#transcript-more").isVisible(), false);
  const most = await page.evaluate(() => globalThis.most);
  assert.ok(most > 0 && most <= 20, `${most} rows in one task`);
  await context.close();
});

test("a thousand conversations are drawn in small tasks, and no row twice", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const row = (i) => ({ id: `c${i}`, site: "default", visitor: "0123456789abcdef", status: "running", epoch: 1, agent_busy: false, turn: null, prompts: [], streams: 1, started_at: "2026-01-01T00:00:00Z", last_active_at: "2026-01-01T00:00:00Z" });
  let asked = 0;
  await page.route("**/api/conversations?*", (route) => {
    const query = new URL(route.request().url()).searchParams;
    if (query.has("waiting")) return route.fulfill({ json: { conversations: [], next_cursor: null } });
    asked++;
    const from = Number(query.get("cursor") ?? 0);
    const n = Math.min(Number(query.get("limit")), 1000 - from);
    return route.fulfill({ json: { conversations: Array.from({ length: n }, (_, i) => row(from + i)), next_cursor: from + n < 1000 ? String(from + n) : null } });
  });
  await page.addInitScript(countRows);
  await page.goto(admin);
  await enter(page);
  const rows = page.locator("#rows > li");
  await rows.first().waitFor();
  await page.evaluate(() => { globalThis.first = document.querySelector("#rows > li"); globalThis.most = 0; });
  for (const n of [100, 200, 400, 800, 1000]) {
    await page.getByRole("button", { name: "Show more" }).click();
    await eventually(async () => assert.equal(await rows.count(), n));
  }
  assert.ok(asked > 10);
  assert.ok(await page.evaluate(() => globalThis.first === document.querySelector("#rows > li")), "the first row is the same element");
  const most = await page.evaluate(() => globalThis.most);
  assert.ok(most > 0 && most <= 20, `${most} rows in one task`);
  await context.close();
});
