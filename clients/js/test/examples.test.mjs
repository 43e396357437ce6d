// The examples in Chromium, on a website with another origin than the relay.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { connect, createServer as listen } from "node:net";
import { after, before, describe, test } from "node:test";
import { eventually, launch, startRelay } from "../../../web/test/helpers.mjs";

const here = new URL("..", import.meta.url).pathname;
const bodies = {
  "assistant-ui.jsx": '<div id="app"></div>',
  "use-chat.jsx": '<div id="app"></div>',
  "plain.js": '<main id="log"></main><form id="form"><input id="field" aria-label="Message"><button>Send</button></form><button id="stop">Stop</button>',
};

/** The pages of an example, built once. */
const bundles = new Map();
function bundle(name) {
  const args = ["tool", "esbuild", `examples/${name}`, "--bundle", "--format=esm", "--jsx=automatic", '--define:process.env.NODE_ENV="production"'];
  const make = () => new Promise((done, fail) => void execFile("go", args, { cwd: here, maxBuffer: 1 << 26 }, (err, out) => (err ? fail(err) : done(out))));
  if (!bundles.has(name)) bundles.set(name, make());
  return bundles.get(name);
}

/** The connection between the pages and the relay, which a test may cut. */
const sockets = new Set();
const way = listen((from) => {
  const to = connect(new URL(relay.url).port, "127.0.0.1");
  for (const [one, other] of [[from, to], [to, from]]) {
    sockets.add(one);
    one.on("error", () => {}).on("close", () => (sockets.delete(one), other.destroy()));
    one.pipe(other);
  }
});
const cut = () => sockets.forEach((socket) => socket.destroy());

let browser;
let relay;
let site;
before(async () => {
  site = createServer(async (req, res) => {
    const name = req.url.slice(1).replace(/\?.*/, "").replace(/\.bundle$/, "");
    if (!bodies[name]) return res.writeHead(404).end();
    if (req.url.endsWith(".bundle")) {
      const code = await bundle(name);
      res.writeHead(200, { "content-type": "text/javascript" });
      return res.end(code);
    }
    res.writeHead(200, { "content-type": "text/html" });
    res.end(`<!doctype html><title>Example</title><body data-relay="http://127.0.0.1:${way.address().port}/">${bodies[name]}<script type="module" src="/${name}.bundle"></script></body>`);
  });
  await new Promise((done) => site.listen(0, "127.0.0.1", done));
  site.unref();
  site.origin = `http://127.0.0.1:${site.address().port}`;
  relay = await startRelay("demo", { RELAY_ALLOWED_ORIGINS: site.origin, RELAY_APPROVALS: "visitor", RELAY_FEEDBACK: "on" });
  await new Promise((done) => way.listen(0, "127.0.0.1", done));
  browser = await launch();
});
after(async () => {
  await browser.close();
  await relay.stop();
  way.close();
  site.closeAllConnections();
  site.close();
});

/** Opens an example as a separate visitor. */
async function visit(name) {
  const page = await (await browser.newContext()).newPage();
  page.wrong = [];
  page.on("pageerror", (err) => page.wrong.push(err.stack));
  await page.goto(`${site.origin}/${name}`);
  await page.getByLabel("Message").waitFor();
  return page;
}

async function send(page, text) {
  await page.getByLabel("Message").fill(text);
  await page.keyboard.press("Enter");
}

const shown = (page) => page.locator("[data-role]").evaluateAll((all) => all.map((el) => `${el.dataset.role}: ${el.textContent}`));

/** The content of assistant-ui: the texts of each message, and its tools. */
const thread = (page) => page.locator("[data-role]").evaluateAll((all) => all.map((el) => `${el.dataset.role}: ${[...el.querySelectorAll("p, [role=alert]")].map((p) => p.textContent).join("|")}`));

/** Waits until the agent is done: assistant-ui's composer does not send earlier. */
const idle = (page) => page.locator("button:text-is('Stop'):disabled").waitFor({ state: "attached", timeout: 60_000 });

// Each mostly waits for an agent.
describe("the examples", { concurrency: true }, () => {
  test("plain JavaScript shows the conversation, asks, and keeps it over a reload", async () => {
    const page = await visit("plain.js");
    await send(page, "table");
    await eventually(async () => assert.match((await shown(page)).join(), /agent: .*\|/s));
    await page.getByRole("button", { name: "Stop" }).waitFor({ state: "hidden" });
    const before = await shown(page);
    await page.reload();
    await eventually(async () => assert.deepEqual(await shown(page), before));
    assert.deepEqual(page.wrong, []);
  });

  test("useChat streams an answer, and goes on with it after a reload", async () => {
    const page = await visit("use-chat.jsx");
    await send(page, "long");
    await eventually(async () => assert.ok((await shown(page)).join().length > 300, "words stream in"));
    await page.reload();
    await eventually(async () => assert.match((await shown(page))[1] ?? "", /no exam\.\s*$/, "the rest streams in"));
    await page.getByText("ready").waitFor({ timeout: 60_000 });
    const [question, answer] = await shown(page);
    assert.equal(question, "user: long");
    await page.reload();
    await eventually(async () => assert.deepEqual(await shown(page), [question, answer], "what was streamed is what was said"));
    assert.deepEqual(page.wrong, []);
  });

  test("assistant-ui streams an answer, goes on with it after a reload and a cut, and stops", async () => {
    const page = await visit("assistant-ui.jsx");
    await send(page, "long");
    await eventually(async () => assert.ok((await thread(page)).join().length > 300, "words stream in"));
    const had = (await thread(page)).join().length;
    cut();
    await eventually(async () => assert.ok((await thread(page)).join().length > had + 200, "it goes on after a cut"));
    await page.reload();
    await page.getByRole("button", { name: "Stop" }).and(page.locator(":enabled")).waitFor();
    await eventually(async () => assert.match((await thread(page)).join(), /user: long,assistant: .{300}/s));
    await idle(page);
    const whole = await thread(page);
    await page.reload();
    await eventually(async () => assert.deepEqual(await thread(page), whole, "what was streamed is what was said"));

    await send(page, "count");
    await eventually(async () => assert.match((await thread(page)).at(-1), /2/));
    await page.getByRole("button", { name: "Stop" }).click();
    await idle(page);
    const stopped = await thread(page);
    await send(page, "table");
    await eventually(async () => assert.match((await thread(page)).at(-1), /Mode/));
    assert.deepEqual((await thread(page)).slice(0, 4), stopped, "nothing more came of it");
    assert.deepEqual(page.wrong, []);
  });

  test("assistant-ui answers questions and requests for approval, sends files, rates", async () => {
    const page = await visit("assistant-ui.jsx");
    await send(page, "question");
    await page.getByRole("button", { name: "A shop" }).click();
    await eventually(async () => assert.match((await thread(page)).at(-1), /“A shop” – noted/));
    await idle(page);
    await send(page, "question");
    await page.getByLabel("Answer").fill("A boat");
    await page.getByRole("button", { name: "Answer" }).click();
    await eventually(async () => assert.match((await thread(page)).at(-1), /“A boat” – noted/));
    await idle(page);
    await send(page, "permission");
    await page.getByRole("button", { name: "Deny" }).click();
    await eventually(async () => assert.match((await thread(page)).at(-1), /Bash deny|Bash denied/));

    await idle(page);
    const chosen = page.waitForEvent("filechooser");
    await page.getByRole("button", { name: "Attach" }).click();
    await (await chosen).setFiles({ name: "note.txt", mimeType: "text/plain", buffer: Buffer.from("hello") });
    await page.locator("form [data-attachment]").waitFor();
    await send(page, "hello");
    await eventually(async () => assert.match((await thread(page)).at(-1), /sent note.txt/));
    await page.locator("[data-role=user] [data-attachment]", { hasText: "note.txt" }).waitFor();

    await idle(page);
    const helpful = page.getByRole("button", { name: "Helpful" }).last();
    await Promise.all([page.waitForResponse((res) => res.url().includes("/v1/feedback") && res.ok()), helpful.click()]);
    await page.reload();
    await page.locator("button[data-submitted]").last().waitFor();
    await send(page, "fail");
    await page.getByRole("alert").waitFor();
    assert.deepEqual(page.wrong, []);
  });
});
