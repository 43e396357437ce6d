// Attachments: chosen, dropped, pasted, refused, sent, and sent after a reload.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { FakeRelay, problem, startSite } from "./fake-relay.mjs";
import { composer, eventually, launch, open, say, settled } from "./helpers.mjs";

const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
const text = Buffer.from("three words here");

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

const chips = (page) => page.locator("relay-chat .chips .file");
const attach = (page, ...files) => page.locator("relay-chat input[type=file]").setInputFiles(files.map(([name, mimeType, buffer]) => ({ name, mimeType, buffer })));
const posts = () => relay.requests.filter((r) => r.method === "POST" && r.path === "/v1/messages");
const complaint = (page) => page.locator("relay-chat [part=error]").textContent();

/** Puts files into a page event, like a drop or a paste. */
const give = (page, selector, type, files, texts = {}) =>
  page.locator(selector).evaluate(
    (el, { type, files, texts }) => {
      const data = new DataTransfer();
      for (const [mime, words] of Object.entries(texts)) data.setData(mime, words);
      for (const [name, mime, words] of files) data.items.add(new File([typeof words === "string" ? words : new Uint8Array(words)], name, { type: mime }));
      const init = { bubbles: true, cancelable: true, composed: true };
      return el.dispatchEvent(type === "paste" ? new ClipboardEvent(type, { ...init, clipboardData: data }) : new DragEvent(type, { ...init, dataTransfer: data }));
    },
    { type, files, texts },
  );

test("the button's files are shown, can be removed, and are sent as they are", async () => {
  const page = await open(context, relay.url);
  const chooser = page.waitForEvent("filechooser");
  await page.locator("relay-chat [part=attach]").click();
  await (await chooser).setFiles([
    { name: "dot.png", mimeType: "image/png", buffer: png },
    { name: "notes.zzz", mimeType: "", buffer: text },
    { name: "data.json", mimeType: "application/json", buffer: text },
  ]);
  await eventually(async () => assert.equal(await chips(page).count(), 3));
  assert.equal(await chips(page).first().locator("canvas").count(), 1, "a picture is shown small");
  await page.locator("relay-chat").getByRole("button", { name: "Remove data.json" }).click();
  assert.deepEqual(await chips(page).allTextContents(), ["dot.png", "notes.zzz"]);
  await composer(page).press("Enter");
  await settled(page);
  assert.equal(await chips(page).count(), 0);
  assert.deepEqual(posts().map((r) => r.body), [
    { text: "", attachments: [{ name: "dot.png", mime: "image/png", data: png.toString("base64") }, { name: "notes.zzz", mime: "text/plain", data: text.toString("base64") }] },
  ]);
  assert.deepEqual(await page.locator("relay-chat .user .file").allTextContents(), ["dot.png", "notes.zzz"]);
  assert.deepEqual(page.wrong, []);
});

test("dropped and pasted files are taken, and pasted words stay words", async () => {
  const page = await open(context, relay.url);
  await page.locator("relay-chat [part=attach]").waitFor();
  await give(page, "relay-chat .log", "dragover", [["a.txt", "text/plain", "a"]]);
  assert.equal(await page.locator("relay-chat .shell.drop").count(), 1, "the place to drop is shown");
  assert.equal(await give(page, "relay-chat .log", "drop", [["a.txt", "text/plain", "a"]]), false, "the browser does not open it");
  assert.equal(await page.locator("relay-chat .shell.drop").count(), 0);
  await give(page, "relay-chat textarea", "paste", [["b.txt", "text/plain", "b"]]);
  await eventually(async () => assert.deepEqual((await chips(page).allTextContents()).sort(), ["a.txt", "b.txt"]));
  assert.equal(await give(page, "relay-chat textarea", "paste", []), true);
});

test("text that comes with a picture of itself is pasted as text, a file that comes with its name is attached", async () => {
  const page = await open(context, relay.url);
  await page.locator("relay-chat [part=attach]").waitFor();
  const paste = (files, texts) => give(page, "relay-chat textarea", "paste", files, texts);
  const cells = { "text/plain": "1\t2", "text/html": "<table><tr><td>1<td>2</table>" };
  assert.equal(await paste([["image.png", "image/png", "x"]], cells), true, "the browser pastes the cells");
  assert.equal(await paste([["a.txt", "text/plain", "a"]], { "text/plain": "a.txt" }), false);
  assert.equal(await paste([["b.txt", "text/plain", "b"]], { "text/html": "<img src=b>" }), false);
  await eventually(async () => assert.deepEqual((await chips(page).allTextContents()).sort(), ["a.txt", "b.txt"]));
});

test("what the relay would refuse is said before it is sent", async () => {
  const page = await open(context, relay.url);
  await page.locator("relay-chat [part=attach]").waitFor();
  await attach(page, ["big.txt", "text/plain", Buffer.alloc((1 << 20) + 1, "a")], ["app.exe", "application/octet-stream", Buffer.from("MZ\0")], ["shot.webp", "image/webp", Buffer.from("GIF89a\0\0")]);
  await eventually(async () => assert.equal(await complaint(page), "big.txt is larger than 1 MB. shot.webp is not a supported file type. app.exe is not a supported file type.OK"));
  assert.equal(await chips(page).count(), 0);
  await attach(page, ...["1", "2", "3", "4"].map((n) => [`${n}.txt`, "text/plain", text]));
  await eventually(async () => assert.equal(await complaint(page), "You can attach at most 3 files.OK"));
  assert.deepEqual(await chips(page).allTextContents(), ["1.txt", "2.txt", "3.txt"]);
  assert.deepEqual(posts(), []);
});

test("a relay that takes no attachments offers none", async () => {
  relay.limits = { max_attachments: 0 };
  const page = await open(context, relay.url);
  await eventually(async () => assert.equal(await page.locator("relay-chat .dot").getAttribute("data-state"), "open"));
  assert.equal(await page.locator("relay-chat [part=attach]").isVisible(), false);
  assert.equal(await give(page, "relay-chat textarea", "paste", [["a.png", "image/png", "a"]], { "text/plain": "a" }), true, "text is pasted");
});

/** A page whose turn with a file has failed, and its button to try again. */
async function failedWithFile() {
  relay.agent = async (r, v) => r.emit(v, "turn_end", { reason: "failed" });
  const page = await open(context, relay.url);
  await page.locator("relay-chat [part=attach]").waitFor();
  await attach(page, ["a.txt", "text/plain", text]);
  await eventually(async () => assert.equal(await chips(page).count(), 1));
  await say(page, "look");
  const again = page.locator("relay-chat").getByRole("button", { name: "Try again" });
  return { page, again };
}

test("a turn that failed is tried again with its files; a page that has them no more says so", async () => {
  const { page, again } = await failedWithFile();
  await again.click();
  await eventually(() => assert.equal(posts().length, 2));
  assert.deepEqual(posts()[1].body, { text: "look", attachments: [{ name: "a.txt", mime: "text/plain", data: text.toString("base64") }] });
  assert.notEqual(posts()[0].headers["idempotency-key"], posts()[1].headers["idempotency-key"]);
  await eventually(async () => assert.equal(await again.count(), 2)); // refused too: otherwise the reload sends it again
  await page.reload();
  await again.last().click();
  await eventually(async () => assert.equal(await complaint(page), "The attachments were lost. Attach them again.OK"));
  assert.equal(await composer(page).inputValue(), "look");
  await composer(page).fill("");
  await say(page, "words alone");
  await eventually(() => assert.equal(posts().length, 3));
  await eventually(async () => assert.equal(await again.count(), 3));
  await again.last().click();
  await eventually(() => assert.equal(posts().length, 4));
  assert.deepEqual(posts().slice(2).map((r) => r.body), [{ text: "words alone" }, { text: "words alone" }]);
});

test("a message that comes back for its lost files leaves what is being written", async () => {
  const { page, again } = await failedWithFile();
  await again.waitFor();
  await page.reload();
  await again.waitFor();
  await composer(page).fill("a draft");
  for (let n = 0; n < 2; n++) {
    await again.click();
    await eventually(async () => assert.equal(await complaint(page), "The attachments were lost. Attach them again.OK"));
    assert.equal(await composer(page).inputValue(), "look\n\na draft");
  }
});

test("files that were not accepted outlive a reload, and are sent once, with their key", async () => {
  relay.fault = (req, res, path) => path === "/v1/messages" && (problem(res, 503, "session_booting", 60), true);
  const site = await startSite(`<!doctype html><html lang="en"><title>Site</title><script async src="${relay.url}widget.js" data-open></script></html>`);
  const page = await open(context, site.url);
  await page.locator("relay-chat [part=attach]").waitFor();
  await attach(page, ["notes.txt", "text/plain", text]);
  await chips(page).first().waitFor();
  await composer(page).fill("read this");
  await composer(page).press("Enter");
  await page.locator("relay-chat article[data-state=waiting]").waitFor();
  relay.fault = null;
  await page.reload();
  await settled(page);
  assert.deepEqual(posts().at(-1).body, { text: "read this", attachments: [{ name: "notes.txt", mime: "text/plain", data: text.toString("base64") }] });
  assert.equal(new Set(posts().map((r) => r.headers["idempotency-key"])).size, 1);
  const left = () => page.evaluate(() => new Promise((ok) => {
    const ask = indexedDB.open("relay-chat");
    ask.onsuccess = () => {
      ask.result.transaction("files").objectStore("files").count().onsuccess = (e) => ok(e.target.result);
    };
  }));
  await eventually(async () => assert.equal(await left(), 0, "nothing is kept once it is sent"));
  await site.stop();
});

test("files that the browser lost are missed, and the words can still be changed", async () => {
  relay.fault = (req, res, path) => path === "/v1/messages" && (problem(res, 503, "session_booting", 60), true);
  const page = await open(context, relay.url);
  await page.locator("relay-chat [part=attach]").waitFor();
  await attach(page, ["notes.txt", "text/plain", text]);
  await chips(page).first().waitFor();
  await composer(page).fill("read this");
  await composer(page).press("Enter");
  await page.locator("relay-chat article[data-state=waiting]").waitFor();
  await page.evaluate(() => new Promise((ok) => {
    indexedDB.deleteDatabase("relay-chat").onsuccess = ok;
  }));
  relay.fault = null;
  await page.reload();
  const meta = page.locator("relay-chat .meta");
  await eventually(async () => assert.match(await meta.textContent(), /The attachments were lost\. Attach them again\./));
  await meta.getByText("Edit").click();
  assert.equal(await composer(page).inputValue(), "read this");
});

/** A page with a file in the composer, of a relay that refuses it for good. */
async function refusing() {
  relay.fault = (req, res, path) => path === "/v1/messages" && (problem(res, 415, "attachment_type"), true);
  const page = await open(context, relay.url);
  await page.locator("relay-chat [part=attach]").waitFor();
  await attach(page, ["notes.txt", "text/plain", text]);
  await chips(page).first().waitFor();
  return page;
}

test("a message refused for good gives its files back to be changed", async () => {
  const page = await refusing();
  await composer(page).press("Enter");
  await page.locator("relay-chat .meta").getByText("Edit").click();
  await eventually(async () => assert.deepEqual(await chips(page).allTextContents(), ["notes.txt"]));
});

test("a second click on Edit gives no file back twice", async () => {
  const page = await refusing();
  await say(page, "look");
  await page.locator("relay-chat .meta").getByText("Edit").evaluate((el) => (el.click(), el.click()));
  await page.locator("relay-chat .meta").waitFor({ state: "detached" });
  assert.deepEqual([await chips(page).allTextContents(), await composer(page).inputValue()], [["notes.txt"], "look"]);
});

test("how far a slow upload is shows as it goes", async () => {
  const page = await open(context, relay.url);
  await page.locator("relay-chat [part=attach]").waitFor();
  const wire = await context.newCDPSession(page);
  await wire.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 100_000 });
  await attach(page, ["long.txt", "text/plain", Buffer.alloc(500_000, "a")]);
  await chips(page).first().waitFor();
  await page.evaluate(() => {
    window.shown = new Set();
    new MutationObserver(() => {
      const meta = document.querySelector("relay-chat").shadowRoot.querySelector(".user .meta");
      if (meta?.textContent) window.shown.add(meta.textContent);
    }).observe(document.querySelector("relay-chat").shadowRoot, { subtree: true, childList: true, characterData: true });
  });
  await composer(page).press("Enter");
  await settled(page);
  const shown = await page.evaluate(() => [...window.shown]);
  assert.ok(shown.some((s) => /^Sending… [1-9]\d?%$/.test(s)), JSON.stringify(shown));
});

/** The attachments sent with the last message. */
const sent = () => (posts().at(-1)?.body.attachments ?? []).map(({ name, mime, data }) => [name, mime, Buffer.from(data, "base64").toString()]);

test("a file is sent as what it is, whatever it is called and begins with", async () => {
  const page = await open(context, relay.url);
  await page.locator("relay-chat [part=attach]").waitFor();
  await attach(page, ["photo.jpg", "image/jpeg", png], ["table.csv", "text/csv", Buffer.from("BMI,Age\n21,40\n")], ["GIF89a.zzz", "", Buffer.from("GIF89a is a name, %PDF- another")]);
  await eventually(async () => assert.deepEqual(await chips(page).allTextContents(), ["photo.png", "table.csv", "GIF89a.zzz"]));
  await composer(page).press("Enter");
  await settled(page);
  assert.deepEqual(sent(), [["photo.png", "image/png", png.toString()], ["table.csv", "text/csv", "BMI,Age\n21,40\n"], ["GIF89a.zzz", "text/plain", "GIF89a is a name, %PDF- another"]]);
});

test("a text in another encoding is sent as UTF-8 once the visitor has seen how it reads", async () => {
  const page = await open(context, relay.url);
  await page.locator("relay-chat [part=attach]").waitFor();
  const box = page.locator("relay-chat .recode");
  for (const [name, bytes, encoding, words] of [
    ["latin.txt", "436166e9202d20803593", "windows-1252", "Café - €5“"],
    ["utf16.csv", "fffe604f7d592c0031000a00", "utf-16le", "你好,1\n"],
    ["bare.txt", "0061002c0e440e170e22", "utf-16be", "a,ไทย"],
  ]) {
    await attach(page, [name, "text/plain", Buffer.from(bytes, "hex")]);
    await box.waitFor();
    assert.equal(await box.locator("pre").textContent(), words);
    assert.equal(await box.locator("select").inputValue(), encoding);
    assert.deepEqual(await chips(page).allTextContents(), [], "nothing is attached yet");
    await box.getByRole("button", { name: "Attach as UTF-8" }).click();
    await chips(page).first().waitFor();
    await composer(page).press("Enter");
    await eventually(() => assert.deepEqual(sent(), [[name, "text/plain", words]]));
    await settled(page);
  }
  // The guess may be another encoding.
  await attach(page, ["han.txt", "text/plain", Buffer.from("c4e3bac3", "hex")]);
  await box.locator("select").selectOption("gb18030");
  assert.equal(await box.locator("pre").textContent(), "你好");
  await box.getByRole("button", { name: "Attach as UTF-8" }).click();
  await chips(page).first().waitFor();
  await page.locator("relay-chat .chips .x").click();
  // A refusal is respected.
  await attach(page, ["latin.txt", "text/plain", Buffer.from("636166e9", "hex")]);
  await box.waitFor();
  await page.keyboard.press("Escape");
  await eventually(async () => assert.equal(await complaint(page), "latin.txt is probably windows-1252, not UTF-8. Save it as UTF-8 and attach it again.OK"));
  assert.deepEqual(await chips(page).allTextContents(), []);
  assert.deepEqual(page.wrong, []);
});

test("a long name keeps its end, and can be seen in whole", async () => {
  const page = await open(context, relay.url);
  await page.locator("relay-chat [part=attach]").waitFor();
  const names = ["the minutes of the meeting of 12 May, second draft.markdown", `${"会议记录".repeat(12)}.csv`, `${"محضر الاجتماع ".repeat(4)}.txt`];
  await attach(page, ...names.map((name) => [name, "text/plain", text]));
  await eventually(async () => assert.equal(await chips(page).count(), 3));
  const shown = await chips(page).allTextContents();
  assert.deepEqual(shown.map((s) => s.slice(s.indexOf("…") + 1).slice(-4)), ["down", ".csv", ".txt"]);
  for (const s of shown) assert.ok([...s].length < 25, s);
  assert.deepEqual(await chips(page).evaluateAll((all) => all.map((a) => a.title)), names);
});

test("a proxy's refusal of a large message says what to do", async () => {
  relay.fault = (req, res, path) => path === "/v1/messages" && (res.writeHead(413, { "content-type": "text/html" }).end("<h1>413 Request Entity Too Large</h1>"), true);
  const page = await open(context, relay.url);
  await page.locator("relay-chat [part=attach]").waitFor();
  await attach(page, ["a.txt", "text/plain", text]);
  await chips(page).first().waitFor();
  await composer(page).press("Enter");
  await eventually(async () => assert.match(await page.locator("relay-chat .user .meta").textContent(), /^Not sent: The message with its attachments is too large for this website's server\. Remove an attachment or send a smaller one\./));
  assert.equal(posts().length, 1, "it is of no use to send it again");
});

test("a proxy that closes the connection on a large message is told of as well", async () => {
  relay.fault = (req, res, path) => path === "/v1/messages" && (req.socket.destroy(), true);
  const page = await open(context, relay.url);
  await page.clock.install();
  await page.locator("relay-chat [part=attach]").waitFor();
  await attach(page, ["a.txt", "text/plain", text]);
  await chips(page).first().waitFor();
  await composer(page).press("Enter");
  await eventually(async () => {
    await page.clock.runFor(5000);
    assert.match(await page.locator("relay-chat .user .meta").textContent(), /^Not sent: The connection was lost during the upload\. If this happens again, attach smaller files\./);
  });
});

const shot = ["shot.png", "image/png", [...png]];
const sendButton = (page) => page.locator("relay-chat [part=send]");
const waits = (page) => eventually(async () => assert.deepEqual([await sendButton(page).getAttribute("aria-label"), await sendButton(page).getAttribute("aria-disabled")], ["Sending…", "true"]));
const waitsNot = (page) => eventually(async () => assert.deepEqual([await sendButton(page).getAttribute("aria-label"), await sendButton(page).getAttribute("aria-disabled")], ["Send", "false"]));
const names = () => posts().map((r) => [r.body.text, ...(r.body.attachments ?? []).map((a) => a.name)]);

/** A page whose request for the part for files is held until release is called, which may also make it fail. */
async function slow(url = relay.url) {
  const page = await open(context, url);
  let release;
  await page.route("**/assets/files.*", async (route) => {
    const fails = await new Promise((done) => {
      release = done;
    });
    return fails ? route.abort() : route.continue();
  });
  await page.locator("relay-chat [part=attach]").waitFor();
  return { page, release: (fails) => eventually(() => {
    release(fails);
    release = undefined;
  }) };
}

for (const [way, add, send] of [
  ["pasted, and Enter pressed twice", (page) => give(page, "relay-chat textarea", "paste", [shot]), async (page) => {
    await composer(page).press("Enter");
    await composer(page).press("Enter");
  }],
  ["dropped, and the button pressed", (page) => give(page, "relay-chat .log", "drop", [shot]), (page) => sendButton(page).click()],
  ["chosen, and Enter pressed", (page) => attach(page, ["shot.png", "image/png", png]), (page) => composer(page).press("Enter")],
]) {
  test(`a message waits for its file, sent while the file is prepared: ${way}`, async () => {
    const { page, release } = await slow();
    await composer(page).fill("see the screenshot");
    await add(page);
    await send(page);
    await waits(page);
    await eventually(async () => assert.ok((await page.locator("relay-chat [role=status]").allTextContents()).includes("Sending…"), "a screen reader says so"));
    await page.evaluate(() => RelayChat.send("of the page"));
    await eventually(() => assert.deepEqual(names(), [["of the page"]], "another message does not wait"));
    assert.equal(await composer(page).inputValue(), "see the screenshot");
    await release();
    await settled(page, 2);
    assert.deepEqual(names(), [["of the page"], ["see the screenshot", "shot.png"]]);
    assert.deepEqual([await composer(page).inputValue(), await chips(page).count()], ["", 0]);
    await waitsNot(page);
    assert.deepEqual(page.wrong, []);
  });
}

test("a file alone is sent when it is ready, also from a closed chat", async () => {
  const site = await startSite(`<!doctype html><html lang="en"><title>Site</title><script async src="${relay.url}widget.js" data-open></script></html>`);
  const { page, release } = await slow(site.url);
  await give(page, "relay-chat textarea", "paste", [shot]);
  await composer(page).press("Enter");
  await waits(page);
  await page.evaluate(() => RelayChat.close());
  await release();
  await eventually(() => assert.deepEqual(names(), [["", "shot.png"]]));
  await site.stop();
});

test("a chat that is removed while a file is prepared sends nothing", async () => {
  const site = await startSite(`<!doctype html><html lang="en"><title>Site</title><script async src="${relay.url}widget.js" data-open></script></html>`);
  const { page, release } = await slow(site.url);
  await composer(page).fill("see");
  await give(page, "relay-chat textarea", "paste", [shot]);
  await composer(page).press("Enter");
  await waits(page);
  await page.evaluate(() => RelayChat.destroy());
  await Promise.all([page.waitForResponse(/\/assets\/files\./), release()]);
  await page.waitForTimeout(300);
  await page.reload();
  await eventually(async () => assert.equal(await composer(page).inputValue(), "see"));
  assert.deepEqual(posts(), []);
  assert.deepEqual(page.wrong, []);
  await site.stop();
});

test("a message whose file cannot be attached stays, with the error, and can be sent", async () => {
  const { page, release } = await slow();
  await composer(page).fill("see");
  await give(page, "relay-chat textarea", "paste", [shot]);
  await composer(page).press("Enter");
  await waits(page);
  await release(true);
  await eventually(async () => assert.match(await complaint(page), /^Something went wrong/));
  await waitsNot(page);
  assert.deepEqual([await composer(page).inputValue(), posts()], ["see", []]);
  // The error of one file is not removed when another is ready.
  await give(page, "relay-chat textarea", "paste", [["app.exe", "application/octet-stream", "MZ\0"]]);
  await give(page, "relay-chat textarea", "paste", [shot]);
  await composer(page).press("Enter");
  await waits(page);
  await release();
  await chips(page).waitFor();
  await eventually(async () => assert.equal(await complaint(page), "app.exe is not a supported file type.OK"));
  await waitsNot(page);
  assert.deepEqual(posts(), []);
  await composer(page).press("Enter");
  await eventually(() => assert.deepEqual(names(), [["see", "shot.png"]]));
});

test("a message that is changed while it waits for its file is not sent", async () => {
  const { page, release } = await slow();
  await composer(page).fill("see");
  await give(page, "relay-chat textarea", "paste", [shot]);
  await composer(page).press("Enter");
  await waits(page);
  await composer(page).pressSequentially(" this");
  await waitsNot(page);
  await release();
  await chips(page).waitFor();
  await page.waitForTimeout(300);
  assert.deepEqual(posts(), []);
  await composer(page).press("Enter");
  await eventually(() => assert.deepEqual(names(), [["see this", "shot.png"]]));
});

test("a message waits for the answer about the encoding of its file", async () => {
  const page = await open(context, relay.url);
  await page.locator("relay-chat [part=attach]").waitFor();
  const box = page.locator("relay-chat .recode");
  const latin = ["latin.txt", "text/plain", Buffer.from("636166e9", "hex")];
  const focused = () => page.evaluate(() => document.querySelector("relay-chat").shadowRoot.activeElement.localName);
  await attach(page, latin);
  await box.waitFor();
  await eventually(async () => assert.equal(await focused(), "pre", "an Enter that was meant to send the message answers nothing"));
  await say(page, "read it");
  await waits(page);
  assert.equal(await focused(), "pre", "the question that it waits for");
  await page.keyboard.press("Enter");
  assert.equal(await box.count(), 1);
  await page.evaluate(() => RelayChat.send("read it")); // the same text, from the page
  await eventually(() => assert.deepEqual(names(), [["read it"]]));
  assert.deepEqual([await box.count(), await composer(page).inputValue()], [1, ""], "the question is still open");
  await say(page, "read this");
  await box.getByRole("button", { name: "Attach as UTF-8" }).click();
  await eventually(() => assert.deepEqual(names(), [["read it"], ["read this", "latin.txt"]]));
  await settled(page, 2);
  await attach(page, latin);
  await box.waitFor();
  await say(page, "and this");
  await box.getByRole("button", { name: "Don't attach" }).click();
  await eventually(async () => assert.match(await complaint(page), /^latin\.txt is probably windows-1252/));
  await waitsNot(page);
  assert.equal(await composer(page).inputValue(), "and this");
  await composer(page).press("Enter");
  await eventually(() => assert.deepEqual(names().slice(2), [["and this"]]));
  assert.deepEqual(page.wrong, []);
});

test("files that are prepared during a log-out are not attached, and delay no message", async () => {
  const { page, release } = await slow();
  await give(page, "relay-chat textarea", "paste", [shot]);
  await composer(page).press("Enter");
  await waits(page);
  await page.evaluate(() => RelayChat.logout());
  await waitsNot(page);
  await Promise.all([page.waitForResponse(/\/assets\/files\./), release()]);
  await attach(page, ["latin.txt", "text/plain", Buffer.from("636166e9", "hex")]);
  await page.locator("relay-chat .recode").waitFor();
  assert.equal(await chips(page).count(), 0);
  await page.evaluate(() => RelayChat.logout());
  assert.equal(await page.locator("relay-chat .recode").count(), 0);
  await attach(page, ["mine.txt", "text/plain", text]);
  await chips(page).first().waitFor();
  await say(page, "hi");
  await eventually(() => assert.deepEqual(names(), [["hi", "mine.txt"]]));
});

test("a message that is changed and sent again waits for its files", async () => {
  const page = await refusing();
  await say(page, "look");
  const edit = page.locator("relay-chat .meta").getByText("Edit");
  await edit.waitFor();
  relay.fault = null;
  await page.evaluate(() => {
    const root = document.querySelector("relay-chat").shadowRoot;
    [...root.querySelectorAll(".meta button")].find((b) => b.textContent === "Edit").click();
    root.querySelector("form").requestSubmit();
  });
  await settled(page);
  assert.deepEqual(names(), [["look", "notes.txt"], ["look", "notes.txt"]]);
  assert.equal(await edit.count(), 0);
});

test("files given one after another are together no more than the relay accepts", async () => {
  const { page, release } = await slow();
  await composer(page).fill("see");
  await give(page, "relay-chat textarea", "paste", [["1.txt", "text/plain", "1"], ["2.txt", "text/plain", "2"]]);
  await give(page, "relay-chat textarea", "paste", [["3.txt", "text/plain", "3"], ["4.txt", "text/plain", "4"]]);
  await composer(page).press("Enter");
  await waits(page);
  await release();
  await eventually(async () => assert.equal(await complaint(page), "You can attach at most 3 files.OK"));
  await waitsNot(page);
  assert.equal(await chips(page).count(), 3);
  assert.deepEqual(posts(), []);
});
