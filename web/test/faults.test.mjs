// Faults that the real relay cannot be made to have on demand, and the widget's behavior.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { FakeRelay, problem, startSite } from "./fake-relay.mjs";
import { composer, eventually, hide, launch, open, say, settled, shows, transcript } from "./helpers.mjs";

let browser;
let relay;
let context;
before(async () => {
  browser = await launch();
});
after(() => browser.close());
beforeEach(async () => {
  relay = await new FakeRelay().start();
  context = await browser.newContext();
});
afterEach(async () => {
  await context.close();
  await relay.stop();
});

const posts = () => relay.requests.filter((r) => r.method === "POST" && r.path === "/v1/messages");
const focused = (page) => page.evaluate(() => document.activeElement?.shadowRoot?.activeElement?.tagName ?? document.activeElement?.tagName);

/** A site's page with the widget as a popup. */
async function popup(attributes = "", extra = "", to = context) {
  const site = await startSite(`<!doctype html><html lang="en"><title>Site</title><main><h1>Site</h1>${extra}</main><script async src="${relay.url}widget.js" ${attributes}></script></html>`);
  const page = await open(to, site.url);
  page.once("close", () => void site.stop());
  await page.locator("relay-chat .launcher").waitFor({ state: "attached" });
  return page;
}

test("a turn refused while the agent boots is sent again by itself, with its key", async () => {
  let refused = 0;
  relay.fault = (req, res, path) => {
    if (path !== "/v1/messages" || refused === 2) return false;
    refused++;
    problem(res, 503, "session_booting", 1);
    return true;
  };
  const page = await open(context, relay.url);
  await say(page, "hello");
  await eventually(async () => assert.match(await page.locator("relay-chat .meta").textContent(), /still starting. Retrying in 1 s.*Retry now/));
  await settled(page);
  assert.deepEqual(await transcript(page), ["user: hello", "agent: You said: hello"]);
  const keys = posts().map((r) => r.headers["idempotency-key"]);
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
  assert.match(keys[0], /^[A-Za-z0-9_-]{1,64}$/);
});

test("a reload sends what the relay had not accepted, with its key", async () => {
  relay.fault = (req, res, path) => path === "/v1/messages" && (problem(res, 503, "upstream_unavailable", 60), true);
  const page = await open(context, relay.url);
  await say(page, "hello");
  await page.locator("relay-chat article[data-state=waiting]").waitFor();
  relay.fault = null;
  await page.reload();
  await settled(page);
  assert.deepEqual(await transcript(page), ["user: hello", "agent: You said: hello"]);
  assert.equal(new Set(posts().map((r) => r.headers["idempotency-key"])).size, 1);
});

test("a turn that is refused for good can be changed or thrown away", async () => {
  relay.fault = (req, res, path) => path === "/v1/messages" && (problem(res, 413, "message_too_large"), true);
  const page = await open(context, relay.url);
  await say(page, "hello");
  const meta = page.locator("relay-chat .meta");
  await eventually(async () => assert.match(await meta.textContent(), /Not sent: Refused: message_too_large.*Retry.*Edit.*Discard/));
  await meta.getByText("Edit").click();
  assert.equal(await composer(page).inputValue(), "hello");
  await eventually(async () => assert.deepEqual(await transcript(page), []));
});

test("a refused message that is changed leaves what is being written", async () => {
  relay.fault = (req, res, path) => path === "/v1/messages" && (problem(res, 413, "message_too_large"), true);
  const page = await open(context, relay.url);
  await say(page, "too large");
  const edit = page.locator("relay-chat").getByRole("button", { name: "Edit" });
  await edit.waitFor();
  await composer(page).fill("a draft");
  await edit.click();
  await eventually(async () => assert.equal(await composer(page).inputValue(), "too large\n\na draft"));
});

test("a failed turn is tried again with its own message, not with the last one", async () => {
  relay.agent = async (r, v, text) => r.emit(v, "turn_end", { reason: text === "first" ? "failed" : "done" });
  const page = await open(context, relay.url);
  await say(page, "first");
  const again = page.locator("relay-chat").getByRole("button", { name: "Try again" });
  await again.waitFor();
  await say(page, "second");
  const posts = () => relay.requests.filter((r) => r.method === "POST" && r.path === "/v1/messages").map((r) => r.body.text);
  await eventually(() => assert.deepEqual(posts(), ["first", "second"]));
  await eventually(async () => assert.equal((await transcript(page)).length, 2));
  await again.click();
  await eventually(() => assert.deepEqual(posts(), ["first", "second", "first"]));
});

test("a stream cut among unnumbered words shows each word once", async () => {
  relay.agent = async (r, v) => {
    for (const word of ["One ", "two ", "three "]) r.emit(v, "text", { text: word, delta: true });
  };
  const page = await open(context, relay.url);
  await say(page, "count");
  await eventually(async () => assert.deepEqual(await transcript(page), ["user: count", "agent: One two three"]));
  for (let n = 0; n < 3; n++) {
    const before = relay.requests.length;
    relay.cut(relay.only);
    await eventually(() => assert.ok(relay.requests.slice(before).some((r) => r.path === "/v1/events"), "it comes back"));
    assert.equal(relay.requests.at(-1).headers["last-event-id"], "1-1");
  }
  await eventually(() => assert.equal(relay.only.streams.size, 1));
  relay.emit(relay.only, "text", { text: "four", delta: true });
  relay.emit(relay.only, "text", { text: "One two three four", delta: false });
  relay.emit(relay.only, "turn_end", { reason: "done" });
  await settled(page);
  assert.deepEqual(await transcript(page), ["user: count", "agent: One two three four"]);
});

test("a stream that falls silent is given up and opened again", async () => {
  const page = await context.newPage();
  await page.clock.install();
  await page.goto(relay.url);
  await say(page, "hello");
  await settled(page);
  const before = relay.requests.length;
  await page.clock.runFor(30_000);
  assert.equal(relay.requests.length, before, "half a minute may pass");
  await page.clock.runFor(25_000);
  await eventually(() => assert.equal(relay.requests.slice(before).filter((r) => r.path === "/v1/events").length, 1));
  assert.equal(relay.requests.at(-1).headers["last-event-id"], "1-2");
});

test("a page kept for going back closes its stream, and opens one when it is shown again", async () => {
  const page = await open(context, relay.url);
  await say(page, "hello");
  await settled(page);
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true })));
  await eventually(() => assert.equal(relay.only.streams.size, 0));
  relay.emit(relay.only, "text", { text: "Missed", delta: false });
  const before = relay.requests.length;
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true })));
  await eventually(async () => assert.equal((await transcript(page)).at(-1), "agent: Missed"));
  assert.equal(relay.requests.slice(before).filter((r) => r.path === "/v1/events").length, 1);
  assert.equal(relay.only.streams.size, 1);
});

test("a hidden tab lets its stream go when nothing is under way, and catches up when seen", async () => {
  const page = await context.newPage();
  await page.clock.install();
  await page.goto(relay.url);
  await say(page, "hello");
  await settled(page);
  await hide(page, true);
  await page.clock.runFor(40_000);
  relay.only.streams.forEach((s) => s.write(": heartbeat\n\n"));
  await page.clock.runFor(30_000);
  await eventually(() => assert.equal(relay.only.streams.size, 0));
  relay.emit(relay.only, "text", { text: "Missed", delta: false });
  await hide(page, false);
  await eventually(async () => assert.equal((await transcript(page)).at(-1), "agent: Missed"));
});

test("a tab that opens in the background, and one whose turn ends there, let their streams go too", async () => {
  const hidden = async (prepare) => {
    const page = await context.newPage();
    await page.clock.install();
    await prepare(page);
    await page.goto(relay.url);
    await eventually(async () => assert.equal(await page.locator("relay-chat .dot").getAttribute("data-state"), "open"));
    return page;
  };
  const away = async (page) => {
    for (const ms of [40_000, 30_000]) {
      await page.clock.runFor(ms);
      relay.only.streams.forEach((s) => s.write(": heartbeat\n\n"));
    }
  };
  const first = await hidden((page) => page.addInitScript(() => Object.defineProperty(document, "hidden", { value: true, configurable: true })));
  await away(first);
  await eventually(() => assert.equal(relay.only.streams.size, 0, "opened in the background"));
  await first.close();

  relay.agent = () => {};
  const second = await hidden(async () => {});
  await say(second, "hello");
  await shows(second, ["user: hello"]);
  await hide(second, true);
  await away(second);
  assert.equal(relay.only.streams.size, 1, "while the turn runs");
  relay.emit(relay.only, "text", { text: "Hi", delta: false });
  relay.emit(relay.only, "turn_end", { reason: "done" });
  await eventually(() => assert.equal(relay.only.streams.size, 0, "after its end"));
  await hide(second, false);
  await shows(second, ["user: hello", "agent: Hi"]);
});

test("a stream that is refused waits as long as the relay says, and tells", async () => {
  let refused = 0;
  relay.fault = (req, res, path) => path === "/v1/events" && refused++ < 1 && (problem(res, 429, "too_many_streams", 4), true);
  const page = await open(context, relay.url);
  const banner = page.locator("relay-chat .banner");
  await eventually(async () => assert.match(await banner.textContent(), /Refused: too_many_streams\. Retrying in \d s\.Retry now/));
  await eventually(async () => assert.equal(await banner.isVisible(), true));
  await banner.getByText("Retry now").click();
  await eventually(async () => assert.equal(await page.locator("relay-chat .dot").getAttribute("data-state"), "open"));
  assert.equal(await banner.isVisible(), false);
});

test("a page that went offline and back reconnects once, after its last event", async () => {
  const page = await open(context, relay.url);
  await say(page, "hello");
  await settled(page);
  await context.setOffline(true);
  relay.cut(relay.only);
  await eventually(async () => assert.match(await page.locator("relay-chat .banner").textContent(), /You are offline/));
  relay.emit(relay.only, "text", { text: "Missed", delta: false });
  const before = relay.requests.length;
  await context.setOffline(false);
  await eventually(async () => assert.equal((await transcript(page)).at(-1), "agent: Missed"));
  assert.equal(relay.requests.slice(before).filter((r) => r.path === "/v1/events").length, 1);
  assert.equal(await page.locator("relay-chat .banner").isVisible(), false);
});

test("a visitor that the relay forgot becomes another, and loses no words", async () => {
  const page = await open(context, relay.url);
  await say(page, "hello");
  await settled(page);
  relay.visitors.clear();
  await say(page, "again");
  await eventually(async () => assert.deepEqual(await transcript(page), ["user: again", "agent: You said: again"]));
});

test("two tabs that open at once are one visitor", async () => {
  const site = await startSite(`<!doctype html><title>Site</title><script async src="${relay.url}widget.js" data-open></script>`);
  await Promise.all([open(context, site.url), open(context, site.url), open(context, site.url)]);
  await eventually(() => assert.equal([...relay.visitors.values()].reduce((n, v) => n + v.streams.size, 0), 1));
  assert.equal(relay.visitors.size, 1);
  await site.stop();
});

test("a relay that is gone is said to be gone, and the click is not lost", async () => {
  relay.fault = (req, res, path) => path.startsWith("/assets/panel") && (res.destroy(), true);
  const page = await popup();
  await page.locator("relay-chat .launcher").click();
  await page.locator("relay-chat .sorry").waitFor();
  assert.match(await page.locator("relay-chat .sorry").textContent(), /could not be loaded/);
});

test("hostile words from the agent do nothing", async () => {
  relay.agent = async (r, v) => {
    const text = "<img src=x onerror=alert(1)> <script>alert(1)</script> [x](javascript:alert(1)) ![b](http://127.0.0.1:9/beacon.png) <svg onload=alert(1)>\n\n```\"><img src=x onerror=alert(1)>\ny\n```\n\n[c](data:text/html,x)";
    for (const ch of text) r.emit(v, "text", { text: ch, delta: true });
    r.emit(v, "text", { text, delta: false });
    r.emit(v, "turn_end", { reason: "done" });
  };
  const page = await open(context, relay.url);
  const asked = [];
  page.on("request", (r) => asked.push(r.url()));
  await say(page, "go");
  await settled(page);
  const agent = page.locator("relay-chat [data-role=agent]");
  assert.match(await agent.textContent(), /<img src=x onerror=alert\(1\)> <script>/);
  assert.deepEqual(await agent.locator("img, script, iframe, :not(.thumb) > svg").count(), 0);
  assert.deepEqual(await agent.locator("a").evaluateAll((all) => all.map((a) => `${a.href} ${a.rel} ${a.target}`)), ["http://127.0.0.1:9/beacon.png noopener noreferrer nofollow _blank"]);
  assert.deepEqual(asked.filter((u) => u.includes("beacon")), []);
  assert.deepEqual(page.wrong, []);
});

test("a screen reader hears that the agent responds, and the answer once, as words", async () => {
  relay.agent = async (r, v) => {
    for (const word of ["It is ", "**very** ", "simple."]) r.emit(v, "text", { text: word, delta: true });
    r.emit(v, "text", { text: "It is **very** simple.", delta: false });
    r.emit(v, "turn_end", { reason: "done" });
    r.cut(v);
  };
  const page = await open(context, relay.url);
  await composer(page).waitFor();
  await page.evaluate(() => {
    window.heard = [];
    for (const region of document.querySelector("relay-chat").shadowRoot.querySelectorAll("[role=status], [role=alert]")) {
      new MutationObserver(() => region.textContent && window.heard.push(region.textContent)).observe(region, { childList: true, characterData: true, subtree: true });
    }
  });
  await say(page, "tell");
  await settled(page);
  await eventually(async () => assert.match((await page.evaluate(() => window.heard)).join("\n"), /Agent is responding[^]*It is very simple\./));
  relay.emit(relay.only, "user", { text: "more", attachments: [] });
  relay.emit(relay.only, "text", { text: "Second.", delta: false });
  relay.emit(relay.only, "turn_end", { reason: "done" });
  await eventually(async () => assert.match((await page.evaluate(() => window.heard)).join("\n"), /Second\./));
  const heard = (await page.evaluate(() => window.heard)).join("\n");
  assert.equal(heard.split("It is very simple.").length - 1, 1, heard);
  assert.equal(await page.locator("relay-chat [role=log]").getAttribute("aria-live"), "off");
});

test("the popup opens, takes the focus, closes with Escape and gives it back", async () => {
  const page = await popup('data-title="Ask us"');
  const launcher = page.locator("relay-chat .launcher");
  assert.equal(await focused(page), "BODY", "nothing takes the focus by itself");
  await launcher.click();
  await eventually(async () => assert.equal(await focused(page), "TEXTAREA"));
  assert.equal(await launcher.getAttribute("aria-expanded"), "true");
  assert.equal(await page.locator("relay-chat [role=dialog]").getAttribute("aria-modal"), null);
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("relay-chat [role=dialog]").isVisible(), false);
  assert.equal(await focused(page), "BUTTON");
  assert.equal(await launcher.getAttribute("aria-expanded"), "false");
});

test("Enter sends, but not while an input method composes, nor with Shift", async () => {
  const page = await open(context, relay.url);
  await composer(page).fill("にほん");
  await composer(page).evaluate((el) => {
    el.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true, cancelable: true }));
    el.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", keyCode: 229, bubbles: true, cancelable: true }));
  });
  await composer(page).press("Shift+Enter");
  assert.deepEqual(await transcript(page), []);
  await composer(page).press("Enter");
  await eventually(async () => assert.equal((await transcript(page))[0], "user: にほん"));
});

test("the draft outlives a reload", async () => {
  const page = await open(context, relay.url);
  await composer(page).fill("not yet");
  await page.reload();
  await composer(page).waitFor();
  assert.equal(await composer(page).inputValue(), "not yet");
});

test("calls made before the script came are kept, and events reach the page", async () => {
  const page = await popup("", '<script>window.seen = []; window.RelayChat = window.RelayChat || []; RelayChat.push(["on", "message", (m) => seen.push(m.role + ": " + m.text)], ["open", { message: "hi there", send: true }]);</script>');
  await settled(page);
  await eventually(async () => assert.deepEqual(await page.evaluate(() => window.seen), ["user: hi there", "agent: You said: hi there"]));
  assert.equal(await page.evaluate(() => new Promise((done) => RelayChat.on("ready", () => done("late"))), null), "late");
  await page.evaluate(() => RelayChat.update({ title: "Renamed", accent: "#0a7" }));
  await eventually(async () => assert.equal(await page.locator("relay-chat h2").textContent(), "Renamed"));
  await page.evaluate(() => RelayChat.destroy());
  await eventually(async () => assert.equal(await page.locator("relay-chat").count(), 0));
  await eventually(() => assert.equal(relay.only.streams.size, 0, "and the stream ends"));
});

test("loaded twice, and with its body swapped, there is one launcher", async () => {
  const page = await popup();
  await page.addScriptTag({ url: `${relay.url}widget.js` });
  assert.equal(await page.locator("relay-chat").count(), 1);
  await page.evaluate(() => document.documentElement.replaceChild(document.createElement("body"), document.body));
  await page.locator("relay-chat .launcher").waitFor();
  await page.locator("relay-chat .launcher").click();
  await say(page, "still here");
  await settled(page);
});

test("an inline chat fills its place, takes no focus, and brings no launcher", async () => {
  const site = await startSite(`<!doctype html><html lang="en"><title>Site</title><h1>Site</h1><div style="height:1500px"></div><div id="place" style="height:420px;width:360px"><relay-chat mode="inline" title="Inline" accent="rebeccapurple" theme="dark"></relay-chat></div><script async src="${relay.url}widget.js"></script></html>`);
  const page = await open(context, site.url);
  await composer(page).waitFor();
  assert.equal(await page.locator("relay-chat").count(), 1);
  assert.equal(await page.locator("relay-chat .launcher").count(), 0);
  assert.equal(await focused(page), "BODY");
  assert.equal(await page.evaluate(() => scrollY), 0);
  const [place, shell] = await page.evaluate(() => [document.querySelector("#place"), document.querySelector("relay-chat").shadowRoot.querySelector(".shell")].map((el) => [el.getBoundingClientRect().width, el.getBoundingClientRect().height]));
  assert.deepEqual(shell, place);
  await say(page, "hello");
  await settled(page);
  await site.stop();
});

test("two chats on one page each show the conversation", async () => {
  const site = await startSite(`<!doctype html><title>Site</title><relay-chat mode="inline"></relay-chat><relay-chat></relay-chat><script async src="${relay.url}widget.js"></script>`);
  const page = await open(context, site.url);
  await page.locator("relay-chat .launcher").click();
  await eventually(async () => assert.equal(await page.locator("relay-chat textarea").count(), 2));
  await page.locator("relay-chat textarea").first().fill("hello");
  await page.locator("relay-chat textarea").first().press("Enter");
  await eventually(async () => assert.deepEqual(await transcript(page), ["user: hello", "agent: You said: hello", "user: hello", "agent: You said: hello"]));
  assert.equal(relay.visitors.size, 1);
  await site.stop();
});

test("what controls a card is fetched with the first one, and again if it could not be had", async () => {
  let refused = 0;
  relay.fault = (req, res, path) => path.startsWith("/assets/cards.") && refused++ < 1 && (res.writeHead(503).end(), true);
  relay.agent = async (r, v) => r.emit(v, "approval", { id: "a1", tool: "Bash", input: { command: "make clean", timeout: 5 } });
  const page = await open(context, relay.url);
  await composer(page).waitFor();
  assert.ok(!relay.requests.some((r) => /cards|files/.test(r.path)), "nothing is fetched before it is needed");
  await say(page, "go");
  const card = page.locator("relay-chat .approval");
  await eventually(async () => assert.equal(await card.locator(".gist").textContent(), "make clean"));
  assert.equal(refused, 2);
  await card.getByRole("button", { name: "Deny" }).click();
  await eventually(async () => assert.equal(await card.locator(".outcome").textContent(), "Denied"));
  await eventually(() => assert.ok(relay.requests.some((r) => r.path === "/v1/responses"))); // it is shown earlier
  await page.reload();
  await eventually(async () => assert.equal(await card.locator(".outcome").textContent(), "Denied", "the outcome stays"));
});

test("settings nobody knows are named once", async () => {
  const site = await startSite(`<!doctype html><title>Site</title><script async src="${relay.url}widget.js" data-colour="red" data-open></script>`);
  const page = await context.newPage();
  const warnings = [];
  page.on("console", (m) => m.type() === "warning" && warnings.push(m.text()));
  await page.goto(site.url);
  await composer(page).waitFor();
  assert.deepEqual(warnings, ['relay-chat: unknown setting "colour"']);
  await site.stop();
});

test("a reader who scrolled up is left alone, and shown the way down", async () => {
  const line = "A line of the answer that is not short.\n\n";
  relay.agent = async (r, v) => r.emit(v, "text", { text: line.repeat(60), delta: true });
  const page = await open(context, relay.url);
  await say(page, "long");
  const log = page.locator("relay-chat .log");
  const top = () => log.evaluate((el) => el.scrollTop);
  const gap = () => log.evaluate((el) => el.scrollHeight - el.scrollTop - el.clientHeight);
  await eventually(async () => assert.ok((await top()) > 500 && (await gap()) < 2));
  await log.hover();
  await page.mouse.wheel(0, -400);
  await page.locator("relay-chat .jump").waitFor();
  await eventually(async () => assert.ok((await gap()) > 300)); // the wheel is heard before it scrolls
  const at = await top();
  relay.emit(relay.only, "text", { text: line.repeat(20), delta: true });
  await eventually(async () => assert.ok((await gap()) > 700));
  assert.equal(await top(), at);
  await page.locator("relay-chat .jump").click();
  await eventually(async () => assert.ok((await gap()) < 2));
});

test("the former visitor's stream that ends amid an introduction asks for no second token", async () => {
  const page = await popup();
  await page.locator("relay-chat .launcher").click();
  await eventually(async () => assert.equal(await page.locator("relay-chat .dot").getAttribute("data-state"), "open"));
  let answer;
  let asked = 0;
  relay.fault = (req, res, path) => {
    if (path !== "/v1/visitor" || !relay.requests.at(-1).body.identity) return false;
    asked++;
    // Like the relay: the former visitor is revoked, and then the new one gets a token.
    const was = relay.only;
    relay.visitors.clear();
    for (const s of was?.streams ?? []) s.end('event: problem\ndata: {"code":"visitor_unknown","fatal":true}\n\n');
    answer = () => relay.introduce(res, "", true);
    return true;
  };
  const done = page.evaluate(() => window.RelayChat.identify("a token of the site's"));
  await eventually(async () => assert.notEqual(await page.locator("relay-chat .dot").getAttribute("data-state"), "open"));
  relay.fault = null; // every request from now on succeeds immediately
  answer();
  await done;
  await say(page, "hello");
  await settled(page);
  assert.equal(asked, 1);
  assert.equal(relay.requests.filter((r) => r.method === "POST" && r.path === "/v1/visitor" && r.body.identity).length, 1, "introductions");
  assert.equal(relay.visitors.size, 1, "visitors");
  assert.deepEqual(page.wrong, []);
});
