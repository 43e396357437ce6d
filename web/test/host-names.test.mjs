// Pages whose elements and libraries shadow built-in names, on purpose or not.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { FakeRelay, problem, startSite } from "./fake-relay.mjs";
import { eventually, launch, open, say, settled, transcript } from "./helpers.mjs";

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
});
afterEach(async () => {
  await context.close();
  await site.stop();
  await relay.stop();
});

const tag = (more = "") => `<script async src="${relay.url}widget.js" ${more}></script>`;
const answered = ["user: hello", "agent: You said: hello"];

async function visit(body) {
  site = await startSite(`<!doctype html><html lang="en"><title>Site</title>${body}`);
  return open(context, site.url);
}

/** Holds a conversation with methods of the prototypes only: a page that shadows the document's own methods also breaks the test tools. */
function converse(page) {
  return page.evaluate(async () => {
    const doc = Reflect.getPrototypeOf(document);
    const until = async (find) => {
      for (let found; ; await new Promise((done) => setTimeout(done, 20))) if ((found = find())) return found;
    };
    const element = await until(() => doc.querySelector.call(document, "body > relay-chat"));
    (await until(() => element.shadowRoot?.querySelector(".launcher"))).click();
    const field = await until(() => element.shadowRoot.querySelector(".shell:not([hidden]) textarea"));
    field.value = "hello";
    field.form.requestSubmit();
    const answer = await until(() => element.shadowRoot.querySelector("[data-role=agent]:not(.open) .text"));
    return answer.textContent;
  });
}

test("no name that an element of the page has hides the document from the widget", async () => {
  const bare = await visit("");
  const names = await bare.evaluate(() => {
    const names = new Set();
    for (let p = document; p !== Object.prototype; p = Reflect.getPrototypeOf(p)) for (const n of Object.getOwnPropertyNames(p)) names.add(n);
    return [...names];
  });
  assert.ok(["currentScript", "body", "hidden", "title", "createElement", "querySelector", "addEventListener"].every((n) => names.includes(n)));
  await site.stop();
  const page = await visit(`${names.map((n) => `<img name="${n}">`).join("")}<p>Words.</p>${tag('data-title="Ask"')}`);
  assert.equal(await page.evaluate(() => document.body instanceof HTMLImageElement && document.createElement instanceof HTMLImageElement), true, "the page does harm");
  assert.equal(await converse(page), "You said: hello");
  assert.equal(await page.evaluate(() => Reflect.getPrototypeOf(document).querySelector.call(document, "relay-chat").getAttribute("title")), "Ask", "the settings are the tag's");
  assert.deepEqual(page.wrong, []);
});

for (const [kind, element] of Object.entries({
  image: '<img name="currentScript" src="https://evil.invalid/widget.js">',
  form: '<form name="currentScript"><input name="src" value="https://evil.invalid/widget.js"></form>',
  object: '<object name="currentScript" data="https://evil.invalid/widget.js"></object>',
})) {
  test(`an element that calls itself the current script, here by ${kind}, is not where the panel comes from`, async () => {
    const page = await visit(`${element}${tag()}`);
    const asked = [];
    page.on("request", (r) => r.resourceType() === "script" && asked.push(new URL(r.url()).hostname));
    assert.equal(await converse(page), "You said: hello");
    assert.deepEqual([...new Set(asked)], ["127.0.0.1"]);
  });
}

for (const [kind, element] of Object.entries({
  anchor: '<a id="RelayChat" href="https://evil.invalid">x</a>',
  form: '<form id="RelayChat"><input name="loaded"><input name="push"></form>',
  frame: '<iframe name="RelayChat"></iframe>',
})) {
  test(`an element called RelayChat, here: ${kind}, does not take the global's place`, async () => {
    const page = await visit(`${element}${tag()}`);
    await page.locator("relay-chat .launcher").waitFor();
    assert.equal(await page.evaluate(() => RelayChat.loaded), true);
    await page.evaluate(() => RelayChat.open({ message: "hello", send: true }));
    await eventually(async () => assert.deepEqual(await transcript(page), answered));
    assert.deepEqual(page.wrong, []);
  });
}

test("a form whose fields are called like methods opens the chat like any other launcher", async () => {
  const names = ["closest", "matches", "contains", "nodeType", "parentNode", "getRootNode", "children", "attributes"];
  const page = await visit(`<form class="help" style="padding:40px">${names.map((n) => `<input name="${n}" type="hidden">`).join("")}</form>${tag('data-launcher=".help"')}`);
  await page.locator("relay-chat").waitFor({ state: "attached" });
  await page.mouse.click(20, 20);
  await say(page, "hello");
  await settled(page);
  assert.deepEqual(await transcript(page), answered);
  assert.deepEqual(page.wrong, []);
});

/** Changes to built-ins by older libraries: Prototype.js, MooTools and similar ones. */
const libraries = {
  "gives arrays and objects a toJSON": "for (const c of [Array, Object, String]) c.prototype.toJSON = function () { return `spoilt ${this}` }",
  "extends Object.prototype and Array.prototype": `
    for (const name of ["each", "once", "title", "accent", "starters", "panel", "src", "boot", "ready", "message", "integrity", "clone"]) {
      Object.prototype[name] = Array.prototype[name] = name === "once" || name === "integrity" ? undefined : function () { return name };
    }`,
  "replaces Array.from, Promise and fetch once the tag has run, and JSON once the panel is there": `
    window.spoil = () => {
      Array.from = (list) => [].concat(list);
      document.addEventListener("relay-chat:ready", () => (window.JSON = { parse: () => ({}), stringify: () => "spoilt", encode: () => "" }));
      window.Promise = function () { return { then() { return this }, catch() { return this } } };
      Promise.all = Promise.resolve = Promise.reject = () => new Promise();
      window.fetch = () => new Promise();
    }`,
  "replaces Document, Element and what takes elements away": `
    window.Document = window.Element = window.Node = function () {};
    HTMLElement.prototype.remove = function () { this.parentNode.removeChild(this); return this };
    HTMLElement.prototype.update = HTMLElement.prototype.replace = HTMLElement.prototype.insert = function () { this.textContent = "spoilt" };
    Array.prototype.reduce = function () { return this[0] };
    Function.prototype.delay = function (s) { setTimeout(this, s * 1000) }`,
};

for (const [what, script] of Object.entries(libraries)) {
  test(`a page that ${what} has a chat like any other, with what was left unsent`, async () => {
    site = await startSite({ "/": `<!doctype html><html lang="en"><title>Site</title><script src="/library.js"></script>${tag("data-title=Ask")}`, "/library.js": script });
    const page = await open(context, site.url);
    await page.locator("relay-chat .launcher").waitFor();
    await page.evaluate(() => window.spoil?.());
    const sent = [];
    relay.fault = (req, res, path) => {
      if (path === "/v1/messages") sent.push([relay.requests.at(-1).body, req.headers["content-type"]]);
      return path === "/v1/messages" && sent.length === 1 && (problem(res, 503, "at_capacity", 0), true);
    };
    await page.locator("relay-chat .launcher").click();
    await page.locator("relay-chat input[type=file]").setInputFiles({ name: "a.txt", mimeType: "text/plain", buffer: Buffer.from("A file.") });
    await page.locator("relay-chat .chips .file").waitFor();
    await say(page, "hello");
    await settled(page);
    const letter = { text: "hello", attachments: [{ name: "a.txt", mime: "text/plain", data: Buffer.from("A file.").toString("base64") }] };
    assert.deepEqual(sent, [[letter, "application/json"], [letter, "application/json"]]);
    assert.deepEqual((await transcript(page)).map((said) => said.replace("a.txt", "")), answered);
    assert.deepEqual(await page.locator("relay-chat h2").textContent(), "Ask");
    assert.equal(await page.locator("relay-chat .starter").count(), 0);
    assert.equal(relay.requests.some((r) => Object.keys(r.headers).some((h) => /each|clone|once/.test(h))), false, "no header but ours");
    await page.evaluate(() => RelayChat.update({ starters: ["One", "Two"] }));
    assert.equal(await page.locator("relay-chat").getAttribute("starters"), '["One","Two"]');
    await page.evaluate(() => RelayChat.destroy());
    await eventually(async () => assert.equal(await page.locator("relay-chat").count(), 0));
    assert.deepEqual(page.wrong, []);
  });
}
