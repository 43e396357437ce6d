// Visitors' actions besides messages: stop a turn, read the notice, consent, rate, read
// earlier conversations, and delete conversations.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { violations, wcag } from "./axe.mjs";
import { FakeRelay, json, problem, startSite } from "./fake-relay.mjs";
import { composer, eventually, launch, open, picture, say, settled, transcript } from "./helpers.mjs";

let browser;
let relay;
let closing;
before(async () => {
  browser = await launch();
});
after(() => browser.close());
beforeEach(async () => {
  relay = await new FakeRelay().start();
  closing = [];
});
afterEach(async () => {
  for (const end of closing.reverse()) await end();
  await relay.stop();
});

/** A site's page with the widget open in it. */
async function visit(options = {}, attributes = "data-open") {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  const site = await startSite(`<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Site</title><main><h1>Site</h1></main><script async src="${relay.url}widget.js" ${attributes}></script></html>`);
  closing.push(() => site.stop(), () => context.close());
  const page = await open(context, site.url);
  await composer(page).waitFor();
  return page;
}

const part = (page, name) => page.locator(`relay-chat [part~=${name}]`);
const sent = (path) => relay.requests.filter((r) => `${r.method} ${r.path}` === path);
const focused = (page) => page.evaluate(() => {
  const el = document.activeElement?.shadowRoot?.activeElement;
  return el?.getAttribute("aria-label") ?? el?.textContent?.trim() ?? "";
});

async function accessible(page) {
  assert.deepEqual(await violations(page, { within: ["relay-chat"], rules: [...wcag, "best-practice"] }), []);
}

/** An agent that starts to answer and does not end on its own. */
const talks = async (r, v) => void r.emit(v, "text", { text: "Let me look into this", delta: true });

test("a turn that runs is stopped, what was said stays, and a reload shows it", async () => {
  relay.agent = talks;
  const page = await visit();
  assert.equal(await part(page, "stop").isVisible(), false, "nothing runs");
  await say(page, "hi");
  await eventually(async () => assert.equal((await transcript(page)).length, 2));
  assert.equal(await part(page, "send").isVisible(), false, "one button at a time");
  const key = sent("POST /v1/messages")[0].headers["idempotency-key"];
  let answer;
  const held = new Promise((done) => (answer = done));
  relay.fault = (req, res) => (/stop$/.test(req.url) ? (held.then(() => relay.stopTurn(res, relay.only, key)), true) : false);
  await part(page, "stop").click();
  await eventually(async () => assert.match(await page.locator("relay-chat .foot").textContent(), /Stopping…/));
  assert.equal(await part(page, "stop").getAttribute("aria-disabled"), "true");
  await part(page, "stop").dispatchEvent("click");
  await accessible(page);
  await picture(page, "stop");
  answer();
  await part(page, "stop").waitFor({ state: "hidden" });
  assert.equal(sent(`POST /v1/turns/${key}/stop`).length, 1, "said once");
  assert.deepEqual([await page.locator("relay-chat .note").textContent(), await page.locator("relay-chat .note.bad").count()], ["Stopped.", 0]);
  assert.equal(await focused(page), "Conversation", "the focus is not lost with the button");
  await page.reload();
  await eventually(async () => assert.equal(await page.locator("relay-chat .note").textContent(), "Stopped."));
  assert.deepEqual(page.wrong, []);
});

test("a message is stopped while the relay holds it, and can be had back", async () => {
  let refuse;
  relay.fault = (req, res, path) => {
    if (path === "/v1/messages") return (refuse = () => problem(res, 409, "turn_stopped")), true;
    if (/stop$/.test(path)) return json(res, 202, {}), refuse(), true;
    return false;
  };
  const page = await visit();
  await say(page, "wait for it");
  await eventually(() => assert.ok(refuse));
  await part(page, "stop").click();
  await page.getByText("Stopped before it was sent.").waitFor();
  assert.equal(await page.evaluate(() => Object.keys(localStorage).some((k) => k.endsWith("outbox"))), false, "a reload does not send it");
  await page.getByRole("button", { name: "Edit" }).click();
  await eventually(async () => assert.equal(await composer(page).inputValue(), "wait for it"));
  await eventually(async () => assert.deepEqual(await transcript(page), []));
});

test("the notice is there, names its link, and describes the composer", async () => {
  relay.says = { notice: { text: null, privacy_url: "https://example.com/privacy" } };
  const page = await visit();
  await part(page, "notice").waitFor();
  assert.equal(await part(page, "notice").textContent(), "You are chatting with an AI. It can make mistakes. Privacy");
  assert.equal(await composer(page).getAttribute("aria-describedby"), "notice");
  await accessible(page);
  await page.close();
  relay.says = { notice: { text: "Our own words.", privacy_url: null } };
  const other = await visit();
  await eventually(async () => assert.equal(await part(other, "notice").textContent(), "Our own words."));
});

for (const [name, options, attributes] of [
  ["desktop", { viewport: { width: 1280, height: 800 } }],
  ["phone-dark", { viewport: { width: 390, height: 780 }, colorScheme: "dark", isMobile: true, hasTouch: true }],
  ["arabic", { viewport: { width: 1280, height: 800 }, locale: "ar-EG" }, 'data-open data-locale="ar"'],
]) {
  test(`consent is asked for at the first message, and nothing is stored before: ${name}`, async () => {
    relay.consent = { version: "v1", text: "Your messages are kept for 30 days." };
    relay.says = { notice: { text: null, privacy_url: "https://example.com/privacy" } };
    const page = await visit(options, attributes);
    await part(page, "notice").waitFor(); // the relay has sent its requirements
    const stored = () => page.evaluate(() => Object.keys(localStorage));
    await composer(page).fill("my question");
    await page.locator("relay-chat .send").click();
    const gate = page.locator("relay-chat .consent");
    await gate.waitFor();
    assert.equal(await focused(page), "Your messages are kept for 30 days.");
    assert.deepEqual(await stored(), []);
    await accessible(page);
    await picture(page, `consent-${name}`);
    await page.keyboard.press("Escape");
    await gate.waitFor({ state: "hidden" });
    assert.equal(await composer(page).inputValue(), "my question");
    assert.deepEqual(sent("POST /v1/messages"), []);
    await page.locator("relay-chat .send").click();
    await gate.locator(".strong").click();
    await settled(page);
    assert.equal((await transcript(page))[0], "user: my question");
    assert.equal(sent("POST /v1/visitor").at(-1).body.consent, "v1");
    assert.ok((await stored()).some((k) => k.endsWith("token")));
    await eventually(() => assert.equal([...relay.visitors.values()].reduce((n, v) => n + v.streams.size, 0), 1, "streams"));
    await page.reload();
    await eventually(async () => assert.equal((await transcript(page))[0], "user: my question"));
    await composer(page).fill("another");
    await page.locator("relay-chat .send").click();
    await eventually(async () => assert.equal((await transcript(page)).length, 4));
    assert.equal(await gate.isVisible(), false, "asked once");
  });
}

test("consent is asked for although the message was sent before the relay could say so", async () => {
  relay.consent = { version: "v1", text: "Your messages are kept for 30 days." };
  const context = await browser.newContext({ reducedMotion: "reduce" });
  const site = await startSite(`<!doctype html><html lang="en"><title>Site</title><main><h1>Site</h1></main><script async src="${relay.url}widget.js" data-open></script></html>`);
  closing.push(() => site.stop(), () => context.close());
  let introduce = () => {};
  const typed = new Promise((resolve) => (introduce = resolve));
  await context.route(`${relay.url}v1/visitor`, async (route) => {
    await typed;
    await route.continue();
  });
  const page = await open(context, site.url);
  await say(page, "quick as I am");
  await composer(page).fill("a draft");
  introduce();
  const gate = page.locator("relay-chat .consent");
  await gate.waitFor();
  await page.locator("relay-chat [data-state=failed]").waitFor();
  await gate.locator(".strong").click();
  await settled(page);
  assert.equal((await transcript(page))[0], "user: quick as I am");
  assert.equal(await composer(page).inputValue(), "a draft", "what is still being written is not sent");
  assert.equal(sent("POST /v1/messages").length, 2);
});

test("a starter that needs consent leaves what is being written", async () => {
  relay.consent = { version: "v1", text: "Your messages are kept for 30 days." };
  relay.settings = { starters: ["Opening hours"] };
  const page = await visit();
  const gate = page.locator("relay-chat .consent");
  const start = async () => {
    await part(page, "starter").click();
    await gate.waitFor();
  };
  await eventually(() => assert.ok(relay.only)); // it has sent its requirements
  await page.waitForFunction(() => document.querySelector("relay-chat").shadowRoot.querySelector(".dot").dataset.state === "open");
  await composer(page).fill("a draft");
  await start();
  assert.equal(await composer(page).inputValue(), "a draft");
  await gate.locator(".strong").click();
  await settled(page);
  assert.deepEqual(sent("POST /v1/messages").map((r) => r.body.text), ["Opening hours"]);
  assert.equal(await composer(page).inputValue(), "a draft", "it is not sent");
});

test("an earlier conversation offers no retry of its failed turns", async () => {
  const said = [["user", { text: "where is my order?", turn: "k", attachments: [] }], ["turn_end", { reason: "failed", turn: "k" }]];
  relay.past = { 7: { title: "where is my order?", events: said.map(([event, data], n) => ({ id: `7-${n + 1}`, event, data })) } };
  const page = await visit();
  await part(page, "menu").first().click();
  await page.getByRole("menuitem", { name: "Earlier conversations" }).click();
  await page.getByRole("button", { name: "where is my order?" }).click();
  await page.getByText("The agent stopped before it was done.").waitFor();
  assert.equal(await page.getByRole("button", { name: "Try again" }).count(), 0);
});

test("an answer is rated, with words, in every tab and after a reload", async () => {
  relay.says = { feedback: true };
  const page = await visit();
  await say(page, "hi");
  await settled(page);
  await page.getByRole("button", { name: "Good answer" }).click();
  await page.getByRole("textbox", { name: "What was good or bad?" }).fill("clear");
  await accessible(page);
  await picture(page, "rate");
  await page.getByRole("button", { name: "Send comment" }).click();
  await eventually(() => assert.deepEqual(relay.only.comments, [undefined, "clear"]));
  const pressed = (name) => page.getByRole("button", { name }).getAttribute("aria-pressed");
  assert.equal(await pressed("Good answer"), "true");
  await page.reload();
  await settled(page);
  await eventually(async () => assert.equal(await pressed("Good answer"), "true"));
  await page.getByRole("button", { name: "Poor answer" }).click();
  await eventually(async () => assert.deepEqual([await pressed("Good answer"), await pressed("Poor answer")], ["false", "true"]));
  await page.getByRole("button", { name: "Poor answer" }).click();
  await eventually(() => assert.equal(sent("POST /v1/feedback").at(-1).body.rating, null));
});

test("without feedback no answer asks for it", async () => {
  const page = await visit();
  await say(page, "hi");
  await settled(page);
  assert.equal(await page.getByRole("button", { name: "Good answer" }).count(), 0);
});

test("earlier conversations are listed and read, by keyboard alone", async () => {
  const said = [["user", { text: "where is my order?", turn: "k", attachments: [] }], ["text", { text: "It is **on its way**.", delta: false }], ["turn_end", { reason: "done", turn: "k" }]];
  relay.past = { 7: { title: "where is my order?", events: said.map(([event, data], n) => ({ id: `7-${n + 1}`, event, data })) } };
  const page = await visit();
  await part(page, "menu").first().focus();
  await page.keyboard.press("Enter");
  await eventually(async () => assert.equal(await focused(page), "Earlier conversations"));
  await accessible(page);
  await picture(page, "menu");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "where is my order?" }).focus();
  await accessible(page);
  await page.keyboard.press("Enter");
  await page.getByText("on its way").waitFor();
  await accessible(page);
  await picture(page, "past");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await eventually(async () => assert.equal(await focused(page), "More"));
  assert.deepEqual(await transcript(page), [], "the present one is as it was");
  assert.deepEqual(page.wrong, []);
});

test("an earlier conversation, a list or a download that fails says why, and is requested once", async () => {
  relay.past = { 7: { title: "where is my order?", events: [] } };
  const page = await visit();
  const menu = part(page, "menu").first();
  const choose = async (name) => {
    await menu.click();
    await page.getByRole("menuitem", { name }).click();
  };
  const error = page.locator("relay-chat [part=error] span");
  const complaint = (words) => eventually(async () => assert.equal(await error.textContent(), words));
  relay.fault = (req, res, path) => path === "/v1/transcript" && (problem(res, 404, "not_found"), true);
  await choose("Earlier conversations");
  await page.getByRole("button", { name: "where is my order?" }).click();
  await complaint("Something went wrong: Refused: not_found.");
  assert.equal(await page.locator("relay-chat .past").count(), 0);
  assert.equal(await focused(page), "More");
  assert.equal(sent("GET /v1/transcript").length, 1);
  for (const [name, path] of [["Earlier conversations", "/v1/conversations"], ["Download my conversations", "/v1/export"]]) {
    await error.locator("xpath=..").getByRole("button").click();
    relay.requests = [];
    let refused = 0;
    relay.fault = (req, res, at) => at === path && !refused++ && (problem(res, 503, "draining"), true);
    await choose(name);
    await complaint("Something went wrong: Refused: draining.");
    await page.waitForTimeout(200);
    assert.equal(sent(`GET ${path}`).length, 1, path);
  }
  assert.deepEqual(page.wrong, []);
});

test("one layer lies over the conversation at a time, and what comes late is not shown", async () => {
  const said = [["user", { text: "where is my order?", turn: "k", attachments: [] }], ["turn_end", { reason: "done", turn: "k" }]];
  relay.past = { 7: { title: "where is my order?", events: said.map(([event, data], n) => ({ id: `7-${n + 1}`, event, data })) } };
  const page = await visit();
  const layers = () => page.locator("relay-chat").locator(".menu, .past, .confirm:not([hidden])").evaluateAll((all) => all.map((el) => el.classList[0]));
  const held = [];
  const hold = (pattern) => page.route(pattern, (route) => held.push(route));
  const menu = part(page, "menu").first();

  await hold("**/v1/transcript?*");
  await menu.click();
  await page.getByRole("menuitem", { name: "Earlier conversations" }).click();
  await page.getByRole("button", { name: "where is my order?" }).click();
  await eventually(() => assert.equal(held.length, 1));
  await page.keyboard.press("Escape");
  await held[0].continue();
  await page.waitForTimeout(300);
  assert.deepEqual(await layers(), []);
  await menu.click();
  await eventually(async () => assert.deepEqual(await layers(), ["menu"]));
  await menu.click();
  await eventually(async () => assert.deepEqual(await layers(), []));

  await hold("**/v1/conversations?*");
  await menu.click();
  await page.getByRole("menuitem", { name: "Earlier conversations" }).click();
  await menu.click();
  await held[1].continue();
  await eventually(async () => assert.deepEqual(await layers(), ["past"]));
  await page.keyboard.press("Escape");
  assert.deepEqual(await layers(), []);

  await say(page, "hi");
  await settled(page);
  // The prompt is loaded on first use, and appears after the menu.
  await page.route("**/assets/fresh.*", (route) => held.push(route));
  await part(page, "new").click();
  await eventually(() => assert.equal(held.length, 3));
  await menu.click();
  await eventually(async () => assert.deepEqual(await layers(), ["menu"]));
  await Promise.all([page.waitForResponse(/\/assets\/fresh\./), held[2].continue()]);
  await page.waitForTimeout(300);
  assert.deepEqual(await layers(), ["menu"]);
  await part(page, "new").click();
  await eventually(async () => assert.deepEqual(await layers(), ["confirm"]));
  await page.keyboard.press("Escape");
  assert.deepEqual(await layers(), []);
  assert.equal(await focused(page), "New conversation");
  assert.deepEqual(page.wrong, []);
});

test("all conversations are downloaded, and this one is deleted once that is confirmed", async () => {
  const page = await visit();
  await say(page, "hi");
  await settled(page);
  await part(page, "menu").first().click();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name: "Download my conversations" }).click()]);
  assert.equal(file.suggestedFilename(), "conversations.json");
  await part(page, "menu").first().click();
  await page.getByRole("menuitem", { name: "Delete this conversation" }).click();
  await eventually(async () => assert.equal(await focused(page), "Keep this one", "what changes nothing has the focus"));
  await accessible(page);
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await eventually(async () => assert.deepEqual(await transcript(page), []));
  assert.equal(sent("DELETE /v1/conversations/1").length, 1);
});

test("a page says what it is with each message", async () => {
  const page = await visit();
  await page.evaluate(() => {
    window.step = 1;
    window.RelayChat.setContext(() => ({ page: "pricing", step: window.step++ }));
  });
  await say(page, "one");
  await settled(page);
  await say(page, "two");
  await settled(page, 2);
  assert.deepEqual(sent("POST /v1/messages").map((r) => r.body.context), [{ page: "pricing", step: 1 }, { page: "pricing", step: 2 }]);
});

test("a challenge is solved, and the message goes", async () => {
  const number = 60_000;
  const challenge = { algorithm: "SHA-256", salt: "salt&", challenge: createHash("sha256").update(`salt&${number}`).digest("hex"), signature: "s", maxnumber: 100_000 };
  relay.fault = (req, res, path) => {
    if (path !== "/v1/messages") return false;
    const solution = req.headers["relay-challenge"];
    if (solution && JSON.parse(atob(solution)).number === number) return false;
    json(res, 428, { title: "Challenge", status: 428, code: "challenge_required", detail: "Solve it.", challenge }, { "content-type": "application/problem+json" });
    return true;
  };
  const page = await visit();
  await say(page, "hi");
  await settled(page);
  assert.equal((await transcript(page))[0], "user: hi");
  assert.equal(sent("POST /v1/messages").length, 2);
  assert.equal(new Set(sent("POST /v1/messages").map((r) => r.headers["idempotency-key"])).size, 1);
});

test("what is used up for today says when it goes on, and a pause says what the operator says", async () => {
  relay.fault = (req, res, path) => path === "/v1/messages" && (problem(res, 429, "turn_budget", 7200), true);
  const page = await visit();
  await say(page, "hi");
  await page.getByText(/Refused: turn_budget. Available again: to(day|morrow), \d+:\d\d/).waitFor();
  await picture(page, "budget");
  relay.fault = (req, res, path) => path === "/v1/messages" && (problem(res, 503, "paused", 30), true);
  await page.getByRole("button", { name: "Retry" }).click();
  await page.getByText(/Refused: paused. Retrying in \d+ s/).waitFor();
});

test("what the operator tells everybody stands above the conversation until it is taken back", async () => {
  const page = await visit();
  await say(page, "hi");
  await settled(page);
  relay.emit(relay.only, "notice", { text: "We are closed until noon." }, false);
  await page.locator("relay-chat .told").waitFor();
  await eventually(async () => assert.match(await page.locator("relay-chat [role=status]").allTextContents().then((t) => t.join()), /closed until noon/));
  await accessible(page);
  relay.emit(relay.only, "notice", { text: null }, false);
  await page.locator("relay-chat .told").waitFor({ state: "hidden" });
});
