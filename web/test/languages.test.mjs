// The widget's choice of language, and that only that one is fetched.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { FakeRelay, startSite } from "./fake-relay.mjs";
import { composer, eventually, launch, open, say, settled, transcript } from "./helpers.mjs";

let browser;
let relay;
let site;
before(async () => {
  browser = await launch();
});
after(() => browser.close());
beforeEach(async () => {
  relay = await new FakeRelay().start();
});
afterEach(async () => {
  await site.stop();
  await relay.stop();
});

/** Opens a site with the widget; its pages may declare a language. */
async function visit({ browserLocale = "en-US", lang = "", attributes = "", before = () => {} }) {
  site = await startSite(`<!doctype html><html ${lang && `lang="${lang}"`}><title>Site</title><body><script async src="${relay.url}widget.js" data-open ${attributes}></script></body></html>`);
  const context = await browser.newContext({ locale: browserLocale });
  await context.addInitScript(before);
  const page = await open(context, site.url);
  await composer(page).waitFor();
  return page;
}

const placeholder = (page) => composer(page).getAttribute("placeholder");
const packs = () => relay.requests.map((r) => /^\/assets\/(\w\w)\./.exec(r.path)?.[1]).filter(Boolean);

for (const [locale, words, dir] of [
  ["ar-EG", "اكتب رسالة…", "rtl"],
  ["de-DE", "Nachricht schreiben …", "ltr"],
  ["es-MX", "Escriba un mensaje…", "ltr"],
  ["fr-CA", "Écrivez un message…", "ltr"],
  ["ja-JP", "メッセージを入力…", "ltr"],
  ["pt-BR", "Escreva uma mensagem…", "ltr"],
  ["zh-CN", "输入消息…", "ltr"],
]) {
  test(`a browser in ${locale} is spoken to in its language, and fetches that alone`, async () => {
    const page = await visit({ browserLocale: locale });
    assert.equal(await placeholder(page), words);
    const shell = page.locator("relay-chat .shell");
    assert.equal(await shell.getAttribute("dir"), dir);
    assert.equal(await shell.getAttribute("lang"), locale);
    assert.deepEqual(packs(), [locale.slice(0, 2)]);
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  });
}

test("the setting goes before the page's language, and that before the browser's", async () => {
  const page = await visit({ browserLocale: "ja-JP", lang: "fr", attributes: 'data-locale="de_AT"' });
  assert.equal(await placeholder(page), "Nachricht schreiben …");
  await page.context().close();
  await site.stop();
  const other = await visit({ browserLocale: "ja-JP", lang: "fr" });
  assert.equal(await placeholder(other), "Écrivez un message…");
  await other.context().close();
  await site.stop();
  const unknown = await visit({ browserLocale: "ja-JP", lang: "xx", attributes: "data-locale=klingon!" });
  assert.equal(await placeholder(unknown), "メッセージを入力…");
  await unknown.context().close();
});

test("English costs no pack, and is spoken when a pack can't be had", async () => {
  const page = await visit({ browserLocale: "en-GB" });
  assert.deepEqual(packs(), []);
  await page.context().close();
  await site.stop();
  relay.fault = (req, res, path) => path.startsWith("/assets/de.") && (res.destroy(), true);
  const german = await visit({ browserLocale: "de-DE" });
  assert.equal(await placeholder(german), "Write a message…");
  await german.context().close();
});

test("another language keeps the conversation, the draft and the chat open", async () => {
  const page = await visit({});
  await say(page, "hello");
  await settled(page);
  await composer(page).fill("not yet");
  await page.evaluate(() => RelayChat.update({ locale: "es" }));
  await eventually(async () => assert.equal(await placeholder(page), "Escriba un mensaje…"));
  await eventually(async () => assert.deepEqual(await transcript(page), ["user: hello", "agent: You said: hello"]));
  assert.equal(await composer(page).inputValue(), "not yet");
  assert.equal(await page.locator("relay-chat .shell").count(), 1);
  await page.context().close();
});

const posts = (path) => relay.requests.filter((r) => r.method === "POST" && r.path === path);
const withoutStorage = () => Object.defineProperty(window, "localStorage", { get: () => { throw new Error("denied"); } });

const changes = [
  ["language", { locale: "es" }, (page) => eventually(async () => assert.equal(await placeholder(page), "Escriba un mensaje…"))],
  ["text", { strings: { placeholder: "Ask away" } }, (page) => eventually(async () => assert.equal(await placeholder(page), "Ask away"))],
  ["mode", { mode: "inline" }, (page) => page.locator("relay-chat .shell.inline textarea").waitFor()],
];
for (const [what, settings, changed] of changes) {
  test(`another ${what} keeps context, identity and attachments, and a conversation that is only in memory`, async () => {
    const page = await visit({ before: withoutStorage });
    await page.evaluate(() => RelayChat.setContext(() => ({ cart: 2 })));
    await page.evaluate(() => RelayChat.identify("header.body.signature"));
    await say(page, "hello");
    await settled(page);
    await composer(page).fill("not yet");
    await page.locator("relay-chat input[type=file]").setInputFiles([{ name: "a.txt", mimeType: "text/plain", buffer: Buffer.from("words") }]);
    const chips = page.locator("relay-chat .chips .file");
    await chips.waitFor();
    const streams = relay.requests.filter((r) => r.path === "/v1/events").length;
    const visitors = relay.visitors.size; // two if the identity came while the first was introduced
    await page.evaluate((s) => void RelayChat.update(s), settings);
    await changed(page);
    await eventually(async () => assert.deepEqual(await transcript(page), ["user: hello", "agent: You said: hello"]));
    assert.equal(await composer(page).inputValue(), "not yet");
    assert.deepEqual(await chips.allTextContents(), ["a.txt"]);
    await composer(page).press("Enter");
    await settled(page, 2);
    const { context, text, attachments } = posts("/v1/messages").at(-1).body;
    assert.deepEqual([context, text, attachments.map((a) => a.name)], [{ cart: 2 }, "not yet", ["a.txt"]]);
    assert.equal(await chips.count(), 0);
    assert.equal(relay.visitors.size, visitors, "still the same visitor");
    assert.equal(relay.requests.filter((r) => r.path === "/v1/events").length, streams, "the stream stays open");
    relay.visitors.clear();
    await say(page, "again");
    await eventually(() => assert.equal(posts("/v1/messages").at(-1).body.text, "again"));
    await settled(page);
    assert.equal(posts("/v1/visitor").at(-1).body.identity, "header.body.signature");
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  });
}

for (const [what, settings] of [["language", { locale: "es" }], ["mode, and back,", { mode: "inline" }, { mode: "popup" }]]) {
  test(`another ${what} leaves a running turn running: its answer is unread`, async () => {
    let answer;
    relay.agent = async (r, v, text) => (answer = () => r.emit(v, "text", { text: `You said: ${text}`, delta: false }) && r.emit(v, "turn_end", { reason: "done" }));
    const page = await visit({});
    const launcher = page.locator("relay-chat .launcher");
    await page.evaluate(() => {
      window.heard = [];
      RelayChat.on("message", ({ role }) => heard.push(role));
    });
    const close = async () => {
      await page.evaluate(() => RelayChat.close());
      await eventually(async () => assert.equal(await composer(page).isVisible(), false));
    };
    await say(page, "one");
    await eventually(() => assert.ok(answer));
    await close();
    answer();
    await eventually(async () => assert.equal(await launcher.getAttribute("aria-label"), "Chat, 1 unread"));
    await page.evaluate(() => RelayChat.update({ title: "Ask" }));
    await eventually(async () => assert.equal(await launcher.getAttribute("aria-label"), "Ask, 1 unread"));
    answer = null;
    await page.evaluate(() => void RelayChat.send("two"));
    await eventually(() => assert.ok(answer));
    if (settings.mode) {
      await page.evaluate(() => document.querySelector("relay-chat").setAttribute("mode", "inline"));
      await page.locator("relay-chat .shell.inline").waitFor();
      await page.evaluate(() => document.querySelector("relay-chat").setAttribute("mode", "popup"));
    } else {
      await page.evaluate((s) => void RelayChat.update(s), settings);
      await eventually(async () => assert.equal(await launcher.getAttribute("aria-label"), "Ask, 1 sin leer"));
    }
    await page.locator("relay-chat .shell.popup").waitFor({ state: "attached" });
    await eventually(async () => assert.equal(await placeholder(page), settings.locale ? "Escriba un mensaje…" : "Write a message…"));
    answer();
    await eventually(async () => assert.equal(await launcher.getAttribute("aria-label"), settings.mode ? "Ask, 1 unread" : "Ask, 2 sin leer"));
    assert.deepEqual(await page.evaluate(() => heard), ["user", "agent", "user", "agent"]);
    await eventually(() => assert.equal(relay.only.streams.size, 0, "then the stream ends"));
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  });
}

test("another language keeps the panel's place, the focus, and one open event", async () => {
  const page = await visit({ attributes: 'data-accent="#0a7d4f"' });
  await composer(page).focus();
  const look = () => page.locator("relay-chat .shell").evaluate((el) => [JSON.stringify(el.getBoundingClientRect()), getComputedStyle(el).zIndex, getComputedStyle(el.querySelector(".send")).backgroundColor]);
  await page.waitForTimeout(300); // it opens with an animation
  const before = await look();
  await page.evaluate(() => {
    addEventListener("relay-chat:open", (e) => e.preventDefault());
    RelayChat.update({ locale: "es" });
  });
  await eventually(async () => assert.equal(await placeholder(page), "Escriba un mensaje…"));
  await eventually(async () => assert.deepEqual(await look(), before));
  assert.equal(await page.evaluate(() => document.activeElement.shadowRoot.activeElement.localName), "textarea");
  await page.context().close();
});

test("refusals are told in the visitor's language", async () => {
  relay.fault = (req, res, path) => path === "/v1/messages" && (res.writeHead(413, { "content-type": "application/problem+json" }).end('{"code":"message_too_large","detail":"Too large."}'), true);
  const page = await visit({ browserLocale: "de-DE" });
  await say(page, "hallo");
  await eventually(async () => assert.match(await page.locator("relay-chat .meta").textContent(), /Nicht gesendet: Die Nachricht ist zu lang\./));
  await page.context().close();
});
