// Accessibility of the widget, for people who do not see it, do not use a pointer, or
// enlarge it: announcements and their order, focus, names.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { violations, wcag } from "./axe.mjs";
import { FakeRelay, problem, startSite } from "./fake-relay.mjs";
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

/** A site's page with the widget, in a browser of the given kind. */
async function visit(attributes = "", options = {}, html = "") {
  const context = await browser.newContext(options);
  const site = await startSite(`<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Site</title><main><h1>Site</h1><button id="before">Before</button>${html}<script async src="${relay.url}widget.js" ${attributes}></script></main></html>`);
  closing.push(() => site.stop(), () => context.close());
  const page = await open(context, site.url);
  await page.locator("relay-chat").waitFor({ state: "attached" });
  return page;
}

const launcher = (page) => page.locator("relay-chat .launcher");
const shell = (page) => page.locator("relay-chat .shell");

/** The focused element, as a screen reader names it. */
const focused = (page) => page.evaluate(() => {
  let el = document.activeElement;
  while (el?.shadowRoot?.activeElement) el = el.shadowRoot.activeElement;
  const name = el.getAttribute("aria-label") ?? el.textContent.trim();
  return `${el.getAttribute("role") ?? el.localName}: ${name}`.slice(0, 80);
});

/** Records the announcements of the live regions, in order. */
async function listen(page) {
  await page.evaluate(() => {
    window.heard = [];
    for (const region of document.querySelector("relay-chat").shadowRoot.querySelectorAll("[role=status], [role=alert]")) {
      new MutationObserver(() => region.textContent && window.heard.push(`${region.role}: ${region.textContent}`)).observe(region, { childList: true, characterData: true, subtree: true });
    }
  });
  return {
    /**
     * Waits until exactly this was announced since the last call. On a slow machine a
     * stream may take long to open, which is announced too.
     */
    async hears(...want) {
      const slow = "alert: Connecting…";
      await eventually(async () => assert.deepEqual((await page.evaluate(() => window.heard)).join("\n").split("\n").filter((said) => said !== slow || want.includes(slow)), want.join("\n").split("\n")));
      await page.evaluate(() => (window.heard = []));
    },
  };
}

test("a turn is announced as it goes: that the agent responds, what it asks, and the answer once, whole", async () => {
  let go;
  const step = () => new Promise((done) => (go = done));
  relay.agent = async (r, v) => {
    for (const word of ["It is ", "**very** ", "sim", "ple.\n\n"]) r.emit(v, "text", { text: word, delta: true });
    await step();
    r.emit(v, "text", { text: "It is **very** simple.\n\n", delta: false });
    r.emit(v, "question", { id: "q", question: "Which **one**?", options: ["Red", "Blue"] });
    await step();
    r.emit(v, "settled", { id: "q", outcome: "Red" });
    r.emit(v, "approval", { id: "a", tool: "Bash", input: { command: "ls" } });
    await step();
    r.emit(v, "text", { text: "- all\n- [done](https://example.com)", delta: false });
    r.emit(v, "turn_end", { reason: "done" });
  };
  const page = await visit("data-open");
  await composer(page).waitFor();
  const reader = await listen(page);
  await say(page, "tell");
  await reader.hears("status: Agent is responding");
  const focus = await focused(page);
  go();
  await reader.hears("status: Which one?");
  go();
  await reader.hears("status: The agent wants to use Bash");
  assert.equal(await focused(page), focus, "no news moves the focus");
  go();
  await reader.hears("status: It is very simple.\nall\ndone");
  relay.cut(relay.only);
  await eventually(() => assert.equal(relay.only.streams.size, 1));
  await settled(page);
  relay.agent = async (r, v) => {
    await step();
    r.emit(v, "turn_end", { reason: "failed" });
  };
  await say(page, "again");
  await reader.hears("status: Agent is responding");
  go();
  await reader.hears("alert: The agent stopped before it was done.");
});

test("what goes wrong is announced at once, and only once however long it lasts", async () => {
  const page = await visit("data-open");
  await composer(page).waitFor();
  await eventually(() => assert.equal(relay.only?.streams.size, 1));
  const reader = await listen(page);
  relay.fault = (req, res, path) => path === "/v1/messages" && (problem(res, 413, "message_too_large"), true);
  await say(page, "hello");
  await reader.hears("alert: Not sent: Refused: message_too_large.");
  relay.fault = (req, res, path) => path.startsWith("/v1/") && (problem(res, 503, "upstream_unavailable", 30), true);
  relay.cut(relay.only);
  const banner = page.locator("relay-chat .banner");
  await banner.getByText(/Retrying in [23]\d s/).waitFor();
  // On a slow machine the wait is announced before its reason is known.
  await eventually(async () => assert.match((await page.evaluate(() => window.heard)).join(), /alert: (Refused: upstream_unavailable|Connecting…)/));
  const said = await page.evaluate(() => window.heard.length);
  await banner.getByText(/Retrying in (2[0-6]|1\d) s/).waitFor();
  assert.equal(await page.evaluate(() => window.heard.length), said, "the countdown is not read aloud");
});

test("the regions that speak are in the page before they speak, and the transcript is none", async () => {
  const page = await visit("data-open");
  await composer(page).waitFor();
  const regions = await page.evaluate(() => [...document.querySelector("relay-chat").shadowRoot.querySelectorAll("[role=status], [role=alert]")].map((el) => [el.role, el.textContent, !!el.closest("[role=dialog]")]));
  assert.deepEqual(regions, [["status", "", true], ["status", "", true], ["alert", "", true]]);
  const log = page.locator("relay-chat [role=log]");
  assert.deepEqual(await log.evaluate((el) => [el.ariaLive, el.tabIndex, el.ariaLabel]), ["off", 0, "Conversation"]);
});

test("nothing takes the focus by itself: not on load, not open on load, not on glass", async () => {
  for (const [attributes, options] of [["", {}], ["data-open", {}], ["data-open", { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true }]]) {
    const page = await visit(attributes, options);
    if (attributes) await composer(page).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.localName), "body", JSON.stringify([attributes, options]));
    await page.close();
  }
  const phone = await visit("", { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true });
  await launcher(phone).tap();
  await composer(phone).waitFor();
  assert.equal(await focused(phone), "h2: Chat", "the focus is in the dialog, and the keyboard of a phone stays down");
  assert.equal(await shell(phone).getAttribute("aria-modal"), "true");
  assert.equal(await launcher(phone).evaluate((el) => el.inert), true);
  await phone.locator("relay-chat [part=close]").tap();
  assert.equal(await launcher(phone).evaluate((el) => el.inert), false);
});

test("a whole conversation is had with the keyboard alone", async () => {
  relay.settings = { title: "Ask us", starters: ["First starter", "Second starter"] };
  relay.agent = async (r, v) => {
    r.emit(v, "text", { text: "See [the docs](https://example.com).\n\n```js\nlet a\n```", delta: false });
    r.emit(v, "question", { id: "q", question: "Which?", options: ["Red", "Blue"] });
    r.emit(v, "approval", { id: "a", tool: "Bash", input: { command: "ls" } });
    r.emit(v, "turn_end", { reason: "done" });
  };
  const page = await visit();
  await launcher(page).waitFor();
  await page.locator("#before").focus();
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "button: Ask us");
  await page.keyboard.press("Enter");
  await eventually(async () => assert.equal(await focused(page), "textarea: Message"));
  await page.keyboard.type("hello");
  await page.keyboard.press("Enter");
  await settled(page);
  for (const name of ["Answer", "Deny", "Copy"]) await page.locator("relay-chat").getByRole("button", { name, exact: true }).waitFor(); // with what shows them
  assert.equal(await focused(page), "textarea: Message", "the focus stays where one writes");
  await page.keyboard.press("F6");
  assert.equal(await focused(page), "log: Conversation");
  const walk = [];
  for (let n = 0; n < 30; n++) {
    await page.keyboard.press("Tab");
    walk.push(await focused(page));
    if (walk.at(-1).startsWith("textarea")) break;
  }
  const order = ["a: the docs", "button: Copy", "pre: let a", "button: Red", "button: Blue", "input: Your answer", "button: Answer", "summary: Details", "button: Allow", "button: Deny", "textarea: Message"];
  assert.deepEqual(order.filter((name) => walk.includes(name)), order, walk.join("\n"));
  assert.deepEqual(walk.filter((name) => order.includes(name)), order, "in the order in which they stand");
  assert.deepEqual(walk.filter((name) => /: $/.test(name)), [], "and each has a name");
  const to = async (name, key = "Tab") => {
    for (let n = 0; n < 40 && (await focused(page)) !== name; n++) await page.keyboard.press(key);
    assert.equal(await focused(page), name);
  };
  await to("button: Blue", "Shift+Tab");
  await page.keyboard.press("Space");
  await eventually(async () => assert.match(await page.locator("relay-chat .question .outcome").textContent(), /Answered: Blue/));
  assert.equal(await focused(page), "button: Blue", "the focus stays on what was chosen");
  assert.equal(await page.locator("relay-chat .question .choice").nth(1).evaluate((el) => el.disabled), false);
  await to("button: Deny");
  await page.keyboard.press("Enter");
  await eventually(async () => assert.match(await page.locator("relay-chat .approval .outcome").textContent(), /Denied/));
  assert.equal(await focused(page), "button: Deny");
  await to("button: New conversation", "Shift+Tab");
  await page.keyboard.press("Enter");
  await eventually(async () => assert.equal(await focused(page), "button: Keep this one", "the harmless answer has the focus"));
  await page.keyboard.press("Escape");
  assert.equal(await focused(page), "button: New conversation");
  await page.keyboard.press("Escape");
  assert.equal(await shell(page).isVisible(), false);
  assert.equal(await focused(page), "button: Ask us", "the focus is back where it came from");
  await page.keyboard.press("Shift+Tab");
  assert.equal(await focused(page), "button: Before", "and the page is not a trap");
});

test("the button to the end keeps the focus when the end is reached without it", async () => {
  const line = "A line of the answer that is not short.\n\n";
  relay.agent = async (r, v) => r.emit(v, "text", { text: line.repeat(60), delta: false }) && r.emit(v, "turn_end", { reason: "done" });
  const page = await visit("data-open");
  await say(page, "long");
  await settled(page);
  const log = page.locator("relay-chat .log");
  const jump = page.locator("relay-chat .jump");
  const gap = () => log.evaluate((el) => el.scrollHeight - el.scrollTop - el.clientHeight);
  const away = async () => {
    await eventually(async () => assert.ok((await gap()) < 2 && (await log.evaluate((el) => el.scrollHeight - el.clientHeight)) > 1000));
    await log.hover();
    await page.mouse.wheel(0, -400);
    await jump.waitFor();
    await eventually(async () => assert.ok((await gap()) > 300)); // the wheel is heard before it scrolls
    await jump.focus();
  };
  await away();
  await log.evaluate((el) => new Promise((scrolled) => {
    el.addEventListener("scroll", () => setTimeout(scrolled), { once: true });
    el.scrollTop = el.scrollHeight;
  }));
  assert.match(await focused(page), /^button: .*latest/i);
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "button: Attach files");
  assert.equal(await jump.isVisible(), false);
  await away();
  await page.keyboard.press("Enter");
  await eventually(async () => assert.ok((await gap()) < 2));
  assert.equal(await focused(page), "log: Conversation");
  assert.equal(await jump.isVisible(), false);
});

test("a control that disappears when it is used does not take the focus with it", async () => {
  relay.settings = { title: "Ask us", starters: ["Opening hours"] };
  relay.agent = async (r, v) => r.emit(v, "question", { id: "q", question: "Which?", options: [] });
  const page = await visit("data-open");
  const control = (name) => page.locator("relay-chat").getByRole("button", { name, exact: true });
  const press = async (name) => {
    await control(name).focus();
    await page.keyboard.press("Enter");
  };
  await control("Opening hours").waitFor();
  await press("Opening hours");
  await control("Opening hours").waitFor({ state: "hidden" });
  assert.equal(await focused(page), "textarea: Message");

  await page.locator("relay-chat .free input").fill("Red");
  await press("Answer");
  await control("Answer").waitFor({ state: "hidden" });
  assert.equal(await focused(page), "article: Ask us: Which?");

  relay.emit(relay.only, "question", { id: "r", question: "And then?", options: [] });
  const second = page.locator("relay-chat .question").nth(1).locator(".free");
  await second.locator("input").focus();
  relay.emit(relay.only, "settled", { id: "r", outcome: "elsewhere" });
  await second.waitFor({ state: "hidden" });
  assert.equal(await focused(page), "article: Ask us: And then?");

  const refuse = (code, status, after) => (req, res, path) => path === "/v1/messages" && (problem(res, status, code, after), true);
  relay.fault = refuse("message_too_large", 413);
  await say(page, "too large");
  await control("Retry").waitFor();
  relay.fault = refuse("rate_limited", 429, 60);
  await press("Retry");
  await control("Retry now").waitFor();
  assert.equal(await focused(page), "article: You");
  relay.fault = null;
  await press("Retry now");
  await control("Retry now").waitFor({ state: "hidden" });
  assert.equal(await focused(page), "article: You");

  relay.fault = (req, res, path) => path.startsWith("/v1/") && (problem(res, 503, "upstream_unavailable", 60), true);
  relay.cut(relay.only);
  await control("Retry now").waitFor();
  relay.fault = null;
  await press("Retry now");
  await control("Retry now").waitFor({ state: "hidden" });
  assert.equal(await focused(page), "log: Conversation");
});

test("an Enter while a permission is asked for sends the words and decides nothing", async () => {
  relay.agent = async (r, v) => r.emit(v, "approval", { id: `a${v.seq}`, tool: "Bash", input: { command: "rm" } });
  const page = await visit("data-open");
  await say(page, "go");
  await page.locator("relay-chat .approval").waitFor();
  await composer(page).press("Enter");
  await say(page, "more");
  await eventually(async () => assert.equal((await transcript(page)).filter((t) => t.startsWith("user")).length, 2));
  assert.equal(relay.requests.filter((r) => r.path === "/v1/responses").length, 0);
});

test("a screen reader finds names, roles and states where it looks for them", async () => {
  relay.settings = { title: "Ask us" };
  let answer;
  relay.agent = (r, v) => (answer = () => r.emit(v, "text", { text: "# Title\n\n|a|b|\n|-|-|\n|1|2|\n\n- [x] done", delta: false }) && r.emit(v, "turn_end", { reason: "done" }));
  const page = await visit();
  assert.deepEqual(await page.getByRole("button", { name: "Ask us", expanded: false }).count(), 1);
  assert.equal(await page.getByRole("dialog").count(), 0, "what is closed is not there");
  await launcher(page).click();
  await say(page, "hello");
  await eventually(() => assert.ok(answer));
  await page.locator("relay-chat [part=close]").click();
  answer();
  await page.getByRole("button", { name: "Ask us, 1 unread", expanded: false }).waitFor();
  await launcher(page).click();
  const dialog = page.getByRole("dialog", { name: "Ask us" });
  assert.equal(await dialog.count(), 1);
  assert.equal(await dialog.getAttribute("aria-modal"), null, "beside the page, not instead of it");
  for (const [role, name] of [["heading", "Ask us"], ["log", "Conversation"], ["article", "You"], ["article", "Ask us"], ["heading", "Title"], ["table", undefined], ["columnheader", "a"], ["checkbox", undefined], ["textbox", "Message"], ["button", "Send"], ["button", "New conversation"], ["button", "Close chat"]]) {
    await eventually(async () => assert.equal(await dialog.getByRole(role, name ? { name, exact: true } : {}).count(), 1, `${role} ${name}`)); // what formats the text may still load
  }
  await page.getByRole("button", { name: "Ask us", expanded: true }).waitFor();
});

/** All visible controls, with their sizes. */
const targets = (page) => page.evaluate(() => [...document.querySelector("relay-chat").shadowRoot.querySelectorAll("button, summary, input, textarea")].flatMap((el) => {
  const { width, height } = el.getBoundingClientRect();
  return el.checkVisibility({ visibilityProperty: true }) && !el.disabled && (width < 24 || height < 24) ? [`${el.className || el.localName} ${el.textContent} ${width}×${height}`] : [];
}));

/** Runs axe on the widget, and takes a screenshot for manual review. */
async function check(page, state) {
  await picture(page, state);
  assert.deepEqual(await violations(page, { within: ["relay-chat", "relay-chat-2"], rules: [...wcag, "best-practice"] }), [], state);
  assert.deepEqual(await targets(page), [], `targets of 24 px: ${state}`);
}

const rich = "# Title\n\nSome `code`, a [link](https://example.com), **bold** and ~~gone~~.\n\n```js\nlet a\n```\n\n|a|b|\n|-|-|\n|1|2|\n\n- [x] done\n- [ ] open\n\n1. one\n\n> quote\n\n---\n";
const desktop = { viewport: { width: 1280, height: 800 } };
const phone = { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true };

for (const [name, options, attributes] of [
  ["by day", { ...desktop, colorScheme: "light" }, ""],
  ["by night", { ...desktop, colorScheme: "dark" }, 'data-accent="#ffb000"'],
  ["on a phone", { ...phone, colorScheme: "light" }, 'data-accent="#e91e63"'],
  ["with forced colors", { ...desktop, forcedColors: "active" }, ""],
  ["from right to left", { ...desktop, colorScheme: "dark" }, 'data-accent="yellow" data-locale="ar"'],
]) {
  test(`every state passes axe, and its targets are large enough: ${name}`, async () => {
    relay.settings = { title: "Ask us", starters: ["One", "Two"] };
    const page = await visit(attributes, { ...options, reducedMotion: "reduce" });
    const send = async (text) => {
      await composer(page).fill(text);
      await page.locator("relay-chat .send").click();
    };
    await check(page, `${name}: closed`);
    await launcher(page).click();
    await composer(page).waitFor();
    await eventually(async () => assert.equal(await page.locator("relay-chat .dot").getAttribute("data-state"), "open"));
    await check(page, `${name}: empty`);
    relay.agent = async (r, v) => {
      r.status(v, "booting");
    };
    await send("hello");
    await page.locator("relay-chat .foot .why").waitFor();
    await check(page, `${name}: booting`);
    const v = relay.only;
    relay.status(v, "running");
    relay.emit(v, "tool", { name: "Bash", state: "running", summary: "ls" });
    relay.emit(v, "text", { text: rich, delta: true });
    await page.locator("relay-chat .agent.open").waitFor();
    await check(page, `${name}: while words come`);
    relay.emit(v, "text", { text: rich, delta: false });
    relay.emit(v, "tool", { name: "Bash", state: "failed" });
    relay.emit(v, "question", { id: "q", question: "Which?", options: ["Red", { label: "Blue", description: "calm" }] });
    relay.emit(v, "approval", { id: "a", tool: "Bash", input: { command: "ls" } });
    relay.emit(v, "approval", { id: null });
    await page.locator("relay-chat .wait").waitFor();
    await page.locator("relay-chat summary").click();
    await check(page, `${name}: asking`);
    await page.locator("relay-chat .choice").first().click();
    await page.locator("relay-chat .approval .strong").click();
    await eventually(async () => assert.notEqual(await page.locator("relay-chat .approval .outcome").textContent(), ""));
    relay.emit(v, "turn_end", { reason: "failed" });
    await page.locator("relay-chat .note.bad").waitFor();
    await check(page, `${name}: answered, and failed`);
    relay.fault = (req, res, path) => path === "/v1/messages" && (problem(res, 413, "message_too_large"), true);
    await send("too large");
    await page.locator("relay-chat [data-state=failed]").waitFor();
    relay.fault = (req, res, path) => path === "/v1/messages" && (problem(res, 429, "rate_limited", 60), true);
    await send("too fast");
    await page.locator("relay-chat [data-state=waiting]").waitFor();
    await check(page, `${name}: not sent, and waiting`);
    relay.fault = (req, res, path) => path.startsWith("/v1/") && (problem(res, 503, "upstream_unavailable", 60), true);
    relay.cut(v);
    await page.locator("relay-chat .banner").waitFor();
    await check(page, `${name}: without a connection`);
    await page.locator("relay-chat .log").evaluate((el) => {
      el.scrollTop = 0;
      el.dispatchEvent(new WheelEvent("wheel", { deltaY: -1 }));
    });
    await page.locator("relay-chat .jump").waitFor();
    await check(page, `${name}: scrolled up`);
    await page.locator("relay-chat [part=new]").click();
    await check(page, `${name}: before a new conversation`);
    await page.locator("relay-chat .confirm .strong").click();
    await page.locator("relay-chat .error").waitFor();
    await check(page, `${name}: with a complaint`);
    assert.deepEqual(page.wrong, []);
  });
}

test("at 400 % everything is there, in one column, and can be reached", async () => {
  relay.settings = { title: "Ask us about anything that there is to ask" };
  relay.agent = async (r, v) => {
    r.emit(v, "text", { text: rich.repeat(2), delta: false });
    r.emit(v, "question", { id: "q", question: "Which?", options: ["A rather long answer to choose", "Blue"] });
    r.emit(v, "approval", { id: "a", tool: "Bash", input: { command: "a long command that does not fit in so little space" } });
    r.emit(v, "turn_end", { reason: "done" });
  };
  // 1280 by 1024 at 400 % is 320 by 256 (WCAG 2.2, 1.4.10).
  const page = await visit("", { viewport: { width: 320, height: 256 } });
  await launcher(page).click();
  await say(page, "hello");
  await settled(page);
  await page.locator("relay-chat .approval").waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 320);
  const out = await page.evaluate(() => {
    const root = document.querySelector("relay-chat").shadowRoot;
    const log = root.querySelector(".log");
    const wrong = [];
    for (const el of root.querySelectorAll("button, textarea, input, summary, p, h2, h3")) {
      if (!el.checkVisibility()) continue;
      el.scrollIntoView({ block: "nearest" });
      const r = el.getBoundingClientRect();
      if ((r.left < 0 || r.right > innerWidth || r.bottom > innerHeight + 1 || r.top < -1) && r.height < 200 && !el.closest("pre, .table, .sr")) wrong.push(`${el.localName} ${el.textContent.slice(0, 20)} ${JSON.stringify(r)}`);
    }
    if (log.scrollWidth > log.clientWidth) wrong.push("the transcript scrolls sideways");
    if (log.clientHeight < 60) wrong.push(`the transcript is ${log.clientHeight} px high`);
    return wrong;
  });
  assert.deepEqual(out, []);
  assert.deepEqual(await targets(page), []);
});

test("with the spacing that readers may choose, no words are cut off", async () => {
  relay.settings = { title: "Ask us", starters: ["What are your opening hours?", "Talk to sales"] };
  const page = await visit("data-open");
  await composer(page).waitFor();
  await page.evaluate(() => {
    const sheet = new CSSStyleSheet(); // WCAG 2.2, 1.4.12
    sheet.replaceSync("*{line-height:1.5!important;letter-spacing:.12em!important;word-spacing:.16em!important}p{margin-bottom:2em!important}");
    const root = document.querySelector("relay-chat").shadowRoot;
    root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
  });
  const cut = await page.evaluate(() => [...document.querySelector("relay-chat").shadowRoot.querySelectorAll("button, h2, .greeting, .outcome, .meta")].filter((el) => el.checkVisibility() && (el.scrollWidth > el.clientWidth + 1 || el.scrollHeight > el.clientHeight + 1) && el.clientWidth).map((el) => el.className));
  assert.deepEqual(cut, []);
});

test("who asked for less motion gets none", async () => {
  const moving = (page) => page.evaluate(() => document.querySelector("relay-chat").shadowRoot.getAnimations().filter((a) => a.effect.getComputedTiming().activeDuration > 50).map((a) => a.animationName ?? a.transitionProperty));
  relay.agent = async (r, v) => r.emit(v, "tool", { name: "Bash", state: "running" });
  const still = await visit("", { reducedMotion: "reduce" });
  await launcher(still).click();
  await say(still, "hello");
  await still.locator("relay-chat .tool").waitFor();
  assert.deepEqual(await moving(still), []);
  const lively = await visit("", { reducedMotion: "no-preference" });
  await launcher(lively).click();
  await say(lively, "hello");
  await lively.locator("relay-chat .tool").first().waitFor();
  assert.ok((await moving(lively)).length > 0, "while others see that something goes on");
});

test("with forced colors every control has an edge, and the focus is seen", async () => {
  relay.settings = { starters: ["One"] };
  const page = await visit("", { forcedColors: "active", ...desktop });
  const edges = () => page.evaluate(() => [...document.querySelector("relay-chat").shadowRoot.querySelectorAll(".launcher, .shell, .starter, .send, .icon, .composer")].filter((el) => el.checkVisibility()).filter((el) => parseFloat(getComputedStyle(el).borderTopWidth) < 1 || /rgba\(.*, 0\)/.test(getComputedStyle(el).borderTopColor)).map((el) => el.className));
  assert.deepEqual(await edges(), []);
  await launcher(page).click();
  await composer(page).fill("x");
  assert.deepEqual(await edges(), []);
  for (const selector of [".send", "[part=new]", "[part=close]", ".starter", ".log"]) {
    const el = page.locator(`relay-chat ${selector}`).first();
    if (!(await el.isVisible())) continue;
    await page.keyboard.press("Shift");
    await el.focus();
    assert.ok(await el.evaluate((e) => parseFloat(getComputedStyle(e).outlineWidth) >= 2 && getComputedStyle(e).outlineStyle !== "none"), selector);
  }
});

test("a phone held sideways shows the panel whole, with the keyboard too", async () => {
  relay.agent = async (r, v, text) => {
    r.emit(v, "text", { text: `You said: ${text}\n\n${"Words, words, words. ".repeat(60)}`, delta: false });
    r.emit(v, "turn_end", { reason: "done" });
  };
  const page = await visit("", { viewport: { width: 844, height: 390 }, hasTouch: true, isMobile: true });
  await launcher(page).click();
  await composer(page).fill("sideways");
  await composer(page).press("Enter");
  assert.equal(await composer(page).inputValue(), "sideways\n", "on glass Enter is a new line");
  assert.equal(await composer(page).getAttribute("enterkeyhint"), "enter", "and the key says so");
  await page.locator("relay-chat .send").click();
  await settled(page);
  for (const [height, room] of [[390, 240], [180, 60]]) {
    await page.setViewportSize({ width: 844, height });
    const box = (part) => page.locator(`relay-chat ${part}`).boundingBox();
    await eventually(async () => assert.deepEqual(await box(".shell"), { x: 0, y: 0, width: 844, height }));
    const [log, field, send] = [await box(".log"), await box("textarea"), await box(".send")];
    assert.ok(log.height >= room, `at ${height} px: ${log.height} px for the log, want ${room}`);
    for (const b of [field, send]) assert.ok(b.y >= log.y + log.height && b.y + b.height <= height, `at ${height} px: ${JSON.stringify(b)}`);
    await picture(page, `sideways-${height}`);
  }
  await composer(page).fill("one\ntwo\nthree\nfour\nfive\nsix\nseven");
  const log = await page.locator("relay-chat .log").boundingBox();
  assert.ok(log.height >= 40, `a long draft leaves ${log.height} px for the log`);
  assert.equal(await shell(page).getAttribute("aria-modal"), "true");
  assert.deepEqual(page.wrong, []);

  // On a computer the next page starts with the chat open. Here that would hide the page.
  await page.setViewportSize({ width: 844, height: 390 });
  await page.reload();
  await launcher(page).waitFor();
  assert.equal(await launcher(page).getAttribute("aria-expanded"), "false");
  await page.setViewportSize({ width: 844, height: 600 });
  await page.reload();
  await page.locator("relay-chat .shell").waitFor();
});
