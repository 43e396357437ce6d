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
async function visit({ browserLocale = "en-US", lang = "", attributes = "" }) {
  site = await startSite(`<!doctype html><html ${lang && `lang="${lang}"`}><title>Site</title><body><script async src="${relay.url}widget.js" data-open ${attributes}></script></body></html>`);
  const context = await browser.newContext({ locale: browserLocale });
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

test("refusals are told in the visitor's language", async () => {
  relay.fault = (req, res, path) => path === "/v1/messages" && (res.writeHead(413, { "content-type": "application/problem+json" }).end('{"code":"message_too_large","detail":"Too large."}'), true);
  const page = await visit({ browserLocale: "de-DE" });
  await say(page, "hallo");
  await eventually(async () => assert.match(await page.locator("relay-chat .meta").textContent(), /Nicht gesendet: Die Nachricht ist zu lang\./));
  await page.context().close();
});
