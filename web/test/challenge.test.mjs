// Proof of work before a first message: Chromium, the relay, the scripted control plane.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { startSite } from "./fake-relay.mjs";
import { composer, eventually, launch, open, say, settled, startPlane, startRelay, transcript } from "./helpers.mjs";

let browser;
let plane;
let relay;
let site;
let contexts = [];
before(async () => {
  browser = await launch();
  plane = await startPlane();
});
after(async () => {
  await browser.close();
  await plane.stop();
});
afterEach(async () => {
  await Promise.all(contexts.map((context) => context.close()));
  contexts = [];
  await relay.stop();
  await site?.stop();
  site = undefined;
});

/** Starts a relay that requires challenges, and a website with the strictest policy that the widget supports. */
async function start(env) {
  site = await startSite("");
  relay = await startRelay("serve", { ...plane.env, ...env, RELAY_ALLOWED_ORIGINS: site.url.slice(0, -1) });
  const origin = relay.url.slice(0, -1);
  site.headers = { "content-security-policy": `default-src 'none'; script-src ${origin}; connect-src ${origin}; require-trusted-types-for 'script'; trusted-types 'none'` };
  site.html = `<!doctype html><html lang="en"><title>A shop</title><script async src="${relay.url}widget.js"></script>`;
}

/** A new visitor's page, which records the responses to its messages and the workers that it starts. */
async function visit(url) {
  const context = await browser.newContext();
  contexts.push(context);
  const page = await open(context, url);
  page.answers = [];
  page.on("response", (res) => res.request().method() === "POST" && res.url().endsWith("/v1/messages") && page.answers.push(res.status()));
  page.workersSeen = 0;
  page.on("worker", () => page.workersSeen++);
  return page;
}

test("a first message is solved for while it is written, with the keyboard, under a strict policy and without a worker", async () => {
  await start({ RELAY_CHALLENGE: "always" });
  const page = await visit(site.url);
  await page.locator("relay-chat .launcher").waitFor();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await composer(page).waitFor();
  await eventually(async () => assert.equal(await composer(page).evaluate((el) => el.getRootNode().activeElement === el), true));
  await eventually(async () => assert.equal(await page.locator("relay-chat .dot").getAttribute("data-state"), "open", "it is known what the relay asks"));
  const solver = page.waitForResponse((res) => res.url().includes("/assets/challenge."));
  await page.keyboard.type("hello", { delay: 50 });
  await solver; // before anything was sent
  assert.deepEqual(page.answers, []);
  await page.keyboard.type(" there", { delay: 200 });
  assert.equal(page.workersSeen, 0);
  assert.equal(await composer(page).inputValue(), "hello there", "every key counts while it is solved");
  await page.keyboard.press("Enter");
  await settled(page);
  assert.equal((await transcript(page))[0], "user: hello there");
  assert.deepEqual(page.answers, [202], "solved before it was asked");
  const spoken = await page.locator("relay-chat").evaluate((el) => [...el.shadowRoot.querySelectorAll("[aria-live], [role=status], [role=alert]")].map((e) => e.textContent).join(" "));
  assert.doesNotMatch(spoken, /check|challenge/i);
  await say(page, "more");
  await settled(page, 2);
  assert.deepEqual(page.answers, [202, 202], "the conversation goes on without");
  assert.deepEqual(page.wrong, []);
});

test("a message that turns out to need it is refused, solved for and sent again by itself", async () => {
  await start({ RELAY_CHALLENGE: "auto", RELAY_RATE_SESSIONS: "2/h" });
  const [first, second] = [await visit(site.url), await visit(relay.url)]; // introduced while there is capacity
  await first.locator("relay-chat .launcher").click();
  for (const page of [first, second]) await composer(page).waitFor();
  await eventually(async () => assert.equal(await second.locator("relay-chat .dot").getAttribute("data-state"), "open"));
  await say(first, "one");
  await settled(first);
  await say(second, "two");
  await settled(second);
  assert.deepEqual(first.answers, [202]);
  assert.deepEqual(second.answers, [428, 202]);
  assert.equal((await transcript(second)).filter((t) => t.startsWith("user:")).length, 1);
  assert.deepEqual(second.wrong, []);
});

test("a device that cannot do it is told what to do, and what was written is kept", async () => {
  await start({ RELAY_CHALLENGE: "always" });
  const page = await visit(relay.url);
  await page.route("**/assets/challenge.*", (route) => route.abort());
  await say(page, "hello");
  await page.locator("relay-chat").getByText("Update the browser and reload the page, or use another device.").first().waitFor();
  assert.equal((await transcript(page)).filter((t) => t.startsWith("user: hello")).length, 1);
  await eventually(async () => assert.match(await page.locator("relay-chat [role=alert]").allTextContents().then((t) => t.join()), /did not pass the check/), 10_000);
  await page.unroute("**/assets/challenge.*");
  await page.getByRole("button", { name: "Retry" }).click();
  await settled(page);
  assert.equal(page.answers.at(-1), 202);
  assert.deepEqual(page.wrong, []);
});
