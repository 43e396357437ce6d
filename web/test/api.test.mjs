// The page's API to the widget, and the widget's events to the page.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { FakeRelay, startSite } from "./fake-relay.mjs";
import { composer, eventually, launch, open, say, settled, transcript } from "./helpers.mjs";

let browser;
let relay;
let context;
let site;
before(async () => {
  browser = await launch();
});
after(() => browser.close());
beforeEach(async () => {
  relay = await new FakeRelay().start();
  context = await browser.newContext();
  site = null;
});
afterEach(async () => {
  await context.close();
  await site?.stop();
  await relay.stop();
});

const tag = (more = "") => `<script async src="${relay.url}widget.js" ${more}></script>`;
const shell = (page) => page.locator("relay-chat .shell");
const asked = (method, path) => relay.requests.filter((r) => r.method === method && r.path === path);

async function visit(html) {
  site = await startSite(`<!doctype html><html lang="en"><title>Site</title><h1>Site</h1>${html}</html>`);
  const page = await open(context, site.url);
  if (html) await page.locator("relay-chat").first().waitFor({ state: "attached" });
  return page;
}

// The same calls through the global and on the element.
for (const [way, who] of [["the global", "RelayChat"], ["the element", "document.querySelector('relay-chat')"]]) {
  test(`every method does what it says, through ${way}`, async () => {
    const page = await visit(tag());
    const call = (name, ...args) => page.evaluate(([w, n, a]) => (0, eval)(w)[n](...a), [who, name, args]);
    await call("open", { message: "a draft" });
    await eventually(async () => assert.equal(await shell(page).isVisible(), true));
    assert.equal(await composer(page).inputValue(), "a draft");
    assert.deepEqual(await transcript(page), []);
    await call("close");
    await eventually(async () => assert.equal(await shell(page).isVisible(), false));
    await call("toggle");
    await eventually(async () => assert.equal(await shell(page).isVisible(), true));
    await call("toggle");
    await eventually(async () => assert.equal(await shell(page).isVisible(), false));
    await call("setDraft", "another");
    assert.equal(await composer(page).inputValue(), "another");
    await call("send", "one");
    await eventually(async () => assert.deepEqual(await transcript(page), ["user: one", "agent: You said: one"]));
    assert.equal(await composer(page).inputValue(), "another", "the draft is not the message");
    await call("open", { message: "two", send: true });
    await eventually(async () => assert.deepEqual((await transcript(page)).slice(2), ["user: two", "agent: You said: two"]));
    await call("newConversation");
    await eventually(async () => assert.deepEqual(await transcript(page), []));
    assert.equal(asked("DELETE", "/v1/session").length, 1);
    await call("identify", "header.body.signature");
    await eventually(() => assert.equal(asked("POST", "/v1/visitor").at(-1).body.identity, "header.body.signature"));
    await page.evaluate((w) => (0, eval)(w).identify(async () => "from a function"), who);
    await eventually(() => assert.equal(asked("POST", "/v1/visitor").at(-1).body.identity, "from a function"));
    const [former] = relay.visitors.keys();
    await call("logout");
    await eventually(() => assert.equal(asked("DELETE", "/v1/visitor").length, 1));
    await eventually(() => assert.equal(relay.visitors.size, 1));
    assert.notEqual([...relay.visitors.keys()][0], former, "another visitor");
    assert.equal(asked("POST", "/v1/visitor").at(-1).body.identity, undefined);
    const heard = await page.evaluate(async (w) => {
      const chat = (0, eval)(w);
      const heard = [];
      const fn = ({ text }) => heard.push(text);
      chat.on("message", fn);
      await chat.send("three");
      chat.off("message", fn);
      await chat.send("four");
      return heard;
    }, who);
    assert.deepEqual(heard, ["three"]);
    await call("destroy");
    await eventually(async () => assert.equal(await page.locator("relay-chat").count(), 0));
    assert.deepEqual(page.wrong, []);
  });
}

test("update changes what it names and leaves the rest, and null takes a thing back", async () => {
  const page = await visit(tag('data-title="First" data-greeting="Hello" data-accent="#0a7d4f" data-starters="One|Two"'));
  await page.evaluate(() => RelayChat.open());
  const seen = () => page.evaluate(() => {
    const root = document.querySelector("relay-chat").shadowRoot;
    return { title: root.querySelector("h2").textContent, greeting: root.querySelector(".greeting").textContent, starters: root.querySelectorAll(".starter").length, accent: root.querySelector(".launcher").style.getPropertyValue("--accent"), theme: root.querySelector(".shell").dataset.theme };
  });
  const first = { title: "First", greeting: "Hello", starters: 2, accent: "#0a7d4f", theme: "auto" };
  await eventually(async () => assert.deepEqual(await seen(), first));
  await page.evaluate(() => RelayChat.update({ title: "Second", theme: "dark" }));
  assert.deepEqual(await seen(), { ...first, title: "Second", theme: "dark" });
  await page.evaluate(() => RelayChat.update({ starters: ["A", "B", "C"], zIndex: 7 }));
  assert.deepEqual(await seen(), { ...first, title: "Second", theme: "dark", starters: 3 });
  assert.equal(await shell(page).evaluate((el) => getComputedStyle(el).zIndex), "7");
  await page.evaluate(() => RelayChat.update({ title: null }));
  assert.equal((await seen()).title, "First", "what the tag says holds again");
});

test("every event reaches the page, in order, with what it is about", async () => {
  relay.agent = async (r, v) => {
    r.emit(v, "tool", { name: "Bash", state: "running", summary: "ls" });
    r.emit(v, "tool", { name: "Bash", state: "done" });
    r.emit(v, "question", { id: "q1", question: "Which?", options: ["Red", "Blue"] });
    r.emit(v, "approval", { id: "a1", tool: "Bash", input: { command: "ls" } });
    r.emit(v, "text", { text: "Done.", delta: false });
    r.emit(v, "turn_end", { reason: "done" });
  };
  const page = await visit(`<div id="around">${tag("data-open")}</div><script>
    window.seen = [];
    for (const name of "ready open close message unread turn-start turn-end tool question approval connection session error".split(" "))
      addEventListener("relay-chat:" + name, (e) => {
        if (e.target.localName !== "relay-chat" || !e.bubbles || !e.composed) throw new Error(name);
        seen.push([name, e.detail]);
      });
  </script>`);
  const seen = () => page.evaluate(() => window.seen);
  await eventually(async () => assert.ok((await seen()).some(([n, d]) => n === "connection" && d.state === "open")));
  assert.deepEqual((await seen()).map(([n]) => n).slice(0, 2).sort(), ["open", "ready"]);
  await page.evaluate(() => (window.seen = []));
  await say(page, "go");
  await eventually(async () => assert.ok((await seen()).some(([n]) => n === "turn-end")));
  assert.deepEqual((await seen()).filter(([n]) => n !== "connection"), [
    ["message", { role: "user", text: "go" }],
    ["session", { status: "running", epoch: 1 }],
    ["turn-start", {}],
    ["tool", { name: "Bash", state: "running" }],
    ["tool", { name: "Bash", state: "done" }],
    ["question", { id: "q1" }],
    ["approval", { id: "a1" }],
    ["message", { role: "agent", text: "Done." }],
    ["turn-end", { reason: "done" }],
  ]);
  let answer;
  relay.agent = (r, v) => (answer = () => r.emit(v, "text", { text: "Later.", delta: false }) && r.emit(v, "turn_end", { reason: "done" }));
  await page.evaluate(() => (window.seen = []));
  await say(page, "again");
  await eventually(() => assert.ok(answer));
  await page.evaluate(() => RelayChat.close());
  await eventually(async () => assert.equal(await shell(page).isVisible(), false));
  answer();
  await eventually(async () => assert.ok((await seen()).some(([n, d]) => n === "unread" && d.count > 0)));
  await page.evaluate(() => RelayChat.open());
  await eventually(async () => assert.deepEqual((await seen()).filter(([n]) => n === "unread").at(-1), ["unread", { count: 0 }]));
  assert.deepEqual((await seen()).filter(([n]) => n === "close" || n === "open"), [["close", {}], ["open", {}]]);
  relay.emit(relay.only, "problem", { code: "upstream_error", detail: "It broke." });
  await eventually(async () => assert.deepEqual((await seen()).at(-1), ["error", { code: "upstream_error", message: "It broke." }]));
});

test("a page may forbid the panel to open, and to close", async () => {
  const page = await visit(tag());
  const forbid = (name) => page.evaluate((n) => addEventListener(`relay-chat:${n}`, (e) => e.preventDefault(), { once: true }), name);
  await forbid("open");
  await page.evaluate(() => RelayChat.open());
  assert.equal(await shell(page).isVisible(), false);
  await page.evaluate(() => RelayChat.open());
  assert.equal(await shell(page).isVisible(), true);
  await forbid("close");
  await page.evaluate(() => RelayChat.close());
  assert.equal(await shell(page).isVisible(), true);
});

test("a panel that may not open or close keeps a launcher that works, and an attribute that is true", async () => {
  const page = await visit(`<script>addEventListener("relay-chat:open", (e) => e.preventDefault(), { once: true });</script>${tag("data-open")}`);
  const el = page.locator("relay-chat");
  await shell(page).waitFor({ state: "attached" });
  await eventually(async () => assert.equal(await el.getAttribute("open"), null));
  assert.equal(await shell(page).isVisible(), false);
  await page.locator("relay-chat .launcher").click();
  await eventually(async () => assert.equal(await shell(page).isVisible(), true));
  await page.evaluate(() => addEventListener("relay-chat:close", (e) => e.preventDefault(), { once: true }));
  await el.evaluate((el) => el.removeAttribute("open"));
  await eventually(async () => assert.equal(await el.getAttribute("open"), ""));
  assert.equal(await shell(page).isVisible(), true);
  await page.locator("relay-chat .launcher").click();
  await eventually(async () => assert.equal(await shell(page).isVisible(), false));
  assert.equal(await el.getAttribute("open"), null);
});

for (const [what, calls] of [["opened and closed", () => RelayChat.push(["open"], ["close"])], ["hidden, on a page after one with an open chat", () => RelayChat.push(["update", { launcher: "none" }], ["close"])]]) {
  test(`a chat that is ${what} while it loads stays closed`, async () => {
    const page = await visit(tag());
    if (what.startsWith("hidden")) {
      await page.evaluate(() => RelayChat.open());
      await eventually(async () => assert.equal(await shell(page).isVisible(), true));
    }
    const held = [];
    await page.route("**/assets/panel.*", (route) => held.push(route));
    await page.reload();
    await page.locator("relay-chat").waitFor({ state: "attached" });
    await page.evaluate(calls);
    await eventually(() => assert.equal(held.length, 1));
    await held[0].continue();
    await shell(page).waitFor({ state: "attached" });
    await page.evaluate(() => RelayChat.setDraft("later")); // after the calls before it
    assert.equal(await shell(page).isVisible(), false);
    assert.equal(await page.locator("relay-chat").getAttribute("open"), null);
    await page.unrouteAll();
    await page.reload();
    await page.evaluate(() => RelayChat.setDraft("later"));
    assert.equal(await shell(page).isVisible(), false, "nor is it open on the next page");
  });
}

test("a second click while the panel loads does not close it", async () => {
  const page = await visit(tag());
  const held = [];
  await page.route("**/assets/panel.*", (route) => held.push(route));
  await page.locator("relay-chat .launcher").click();
  await page.locator("relay-chat .launcher").click();
  await eventually(() => assert.equal(held.length, 1));
  await held[0].continue();
  await eventually(async () => assert.equal(await shell(page).isVisible(), true));
});

test("calls for which the panel can't be loaded take effect, in their order, once it can", async () => {
  const page = await visit(tag());
  await page.route("**/assets/panel.*", (route) => route.abort());
  const failed = await page.evaluate(async () => [
    await RelayChat.open(), await RelayChat.setContext({ cart: 2 }), await RelayChat.identify("header.body.signature"), await RelayChat.send("one"), await RelayChat.send("two"),
  ]);
  assert.deepEqual(failed, Array(5).fill(undefined));
  await page.unrouteAll();
  await page.evaluate(() => RelayChat.send("three"));
  await eventually(() => assert.deepEqual(asked("POST", "/v1/messages").map((r) => [r.body.text, r.body.context]), ["one", "two", "three"].map((text) => [text, { cart: 2 }])));
  assert.equal(asked("POST", "/v1/visitor").at(-1).body.identity, "header.body.signature");
  assert.equal(await shell(page).isVisible(), false, "the visitor no longer waits for it to open");
  await page.locator("relay-chat .launcher").click();
  await eventually(async () => assert.equal(await shell(page).isVisible(), true));
  await page.evaluate(() => RelayChat.send("four"));
  await eventually(() => assert.deepEqual(asked("POST", "/v1/messages").slice(3).map((r) => r.body.text), ["four"], "each call counts once"));
  assert.deepEqual(page.wrong, []);
});

test("calls take effect in their order, however long the code of one takes to load", async () => {
  const page = await visit(tag("data-open"));
  await page.evaluate(() => RelayChat.send("zero"));
  await settled(page);
  const held = [];
  await page.route("**/assets/more.*", (route) => held.push(route));
  await page.evaluate(() => {
    void RelayChat.identify("header.body.signature");
    void RelayChat.send("one");
    void RelayChat.newConversation();
    void RelayChat.send("two");
    void RelayChat.setDraft("three");
  });
  await eventually(() => assert.deepEqual(asked("POST", "/v1/messages").map((r) => r.body.text), ["zero", "one"]));
  assert.equal(asked("POST", "/v1/visitor").at(-1).body.identity, "header.body.signature");
  await eventually(() => assert.equal(held.length, 1));
  for (const open of [false, true]) {
    await page.evaluate(() => void RelayChat.toggle());
    await eventually(async () => assert.equal(await shell(page).isVisible(), open, "what only shows the chat does not wait"));
  }
  await held[0].continue();
  await eventually(() => assert.deepEqual(asked("POST", "/v1/messages").map((r) => r.body.text), ["zero", "one", "two"]));
  const order = relay.requests.filter((r) => /\/v1\/(messages|session)$/.test(r.path) && r.method !== "GET").map((r) => `${r.method} ${r.body?.text ?? ""}`);
  assert.deepEqual(order, ["POST zero", "POST one", "DELETE ", "POST two"]);
  await eventually(async () => assert.equal(await page.locator("relay-chat textarea").inputValue(), "three"));
  assert.deepEqual(page.wrong, []);
});

for (const part of ["panel", "de"]) {
  test(`calls made before another mode take effect in it, although ${part}.js comes later`, async () => {
    const page = await visit(tag('data-locale="de"'));
    const held = [];
    await page.route(`**/assets/${part}.*`, (route) => held.push(route));
    await page.evaluate(() => {
      void RelayChat.setContext({ cart: 2 });
      void RelayChat.open({ message: "hello", send: true });
    });
    await eventually(() => assert.equal(held.length, 1));
    await page.evaluate(() => document.querySelector("relay-chat").setAttribute("mode", "inline"));
    await held[0].continue();
    await page.locator("relay-chat .shell.inline textarea").waitFor();
    await eventually(() => assert.deepEqual(asked("POST", "/v1/messages").map((r) => [r.body.text, r.body.context]), [["hello", { cart: 2 }]]));
    assert.equal(await shell(page).count(), 1);
    assert.deepEqual(page.wrong, []);
  });
}

test("a launcher of the page's own opens and closes the panel", async () => {
  const page = await visit(`<button id="help">Help</button>${tag('data-launcher="#help"')}`);
  assert.equal(await page.locator("relay-chat .launcher").isVisible(), false);
  await page.locator("#help").click();
  await eventually(async () => assert.equal(await shell(page).isVisible(), true));
  await page.locator("#help").click();
  await eventually(async () => assert.equal(await shell(page).isVisible(), false));
});

// Counts listeners, timers, observers, locks and streams in the page. Runs before any
// script of the page.
const ledger = () => {
  const held = new Map();
  window.held = () => [...held.values()].sort();
  const listeners = new WeakMap();
  const { addEventListener, removeEventListener } = EventTarget.prototype;
  const lasting = (target) => target === window || target === document || target === window.visualViewport || target === document.documentElement || target instanceof MediaQueryList || target instanceof BroadcastChannel;
  let next = 0;
  EventTarget.prototype.addEventListener = function (type, fn, options) {
    if (lasting(this ?? window) && fn) {
      const key = `l${++next}`;
      const drop = () => held.delete(key);
      held.set(key, `listener ${type}`);
      const mine = listeners.get(fn) ?? listeners.set(fn, []).get(fn);
      mine.push({ target: this ?? window, type, drop });
      if (options?.signal?.aborted) drop();
      else if (options?.signal) addEventListener.call(options.signal, "abort", drop);
      if (options?.once) addEventListener.call(this ?? window, type, drop, { once: true });
    }
    return addEventListener.call(this, type, fn, options);
  };
  EventTarget.prototype.removeEventListener = function (type, fn, options) {
    for (const l of listeners.get(fn) ?? []) if (l.type === type && l.target === (this ?? window)) l.drop();
    return removeEventListener.call(this, type, fn, options);
  };
  for (const [set, clear, repeats] of [["setTimeout", "clearTimeout", false], ["setInterval", "clearInterval", true], ["requestAnimationFrame", "cancelAnimationFrame", false]]) {
    const [begin, end] = [window[set], window[clear]];
    window[set] = (fn, ...rest) => {
      const id = begin((...args) => {
        if (!repeats) held.delete(set + id);
        fn(...args);
      }, ...rest);
      held.set(set + id, `${set} ${rest[0] ?? ""}`);
      return id;
    };
    window[clear] = (id) => {
      held.delete(set + id);
      end(id);
    };
  }
  for (const name of ["MutationObserver", "ResizeObserver", "IntersectionObserver"]) {
    const Real = window[name];
    window[name] = class extends Real {
      observe(...args) {
        held.set(this, name);
        super.observe(...args);
      }
      disconnect() {
        held.delete(this);
        super.disconnect();
      }
    };
  }
};

test("destroy leaves nothing behind, and the tag may come back", async () => {
  await context.addInitScript(ledger);
  const page = await visit("");
  const state = () => page.evaluate(() => ({
    held: window.held(), nodes: document.querySelectorAll("*").length, sheets: document.adoptedStyleSheets.length, title: document.title,
    global: "RelayChat" in window, names: Object.keys(window).filter((k) => k !== "RelayChat").length, inert: document.querySelectorAll("[inert], [aria-hidden]").length, style: document.documentElement.getAttribute("style") ?? "",
  }));
  const bare = await state();
  assert.equal(bare.global, false);
  const load = () => page.evaluate((src) => new Promise((done) => {
    const script = document.createElement("script");
    script.src = src;
    script.onload = () => (script.remove(), done());
    document.head.append(script);
  }), `${relay.url}widget.js`);
  for (let round = 0; round < 2; round++) {
    await load();
    await page.evaluate(() => {
      RelayChat.on("message", () => {});
      RelayChat.open();
    });
    await say(page, "hello");
    await settled(page, round + 1);
    await page.locator("relay-chat textarea").fill("a draft");
    await page.evaluate(() => RelayChat.close());
    await page.evaluate(() => RelayChat.open());
    assert.notDeepEqual((await state()).held, bare.held, "the ledger sees what is there");
    await page.evaluate(() => RelayChat.destroy());
    await eventually(async () => assert.deepEqual(await state(), bare));
    await eventually(() => assert.equal(relay.only.streams.size, 0, "the stream ends"));
    assert.deepEqual(await page.evaluate(() => [typeof window.RelayChat, document.activeElement.localName]), ["undefined", "body"]);
  }
  assert.deepEqual(page.wrong, []);
});
