// The client without a page and without Node: in a context with only a few web standards,
// and in a service worker.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { createContext, runInContext } from "node:vm";
import { launch, startRelay } from "../../../web/test/helpers.mjs";

/** The client as one script, which defines the global `relay`. */
const script = execFileSync("go", ["tool", "esbuild", "src/index.js", "--bundle", "--format=iife", "--global-name=relay", "--target=es2023"], {
  cwd: new URL("..", import.meta.url).pathname, encoding: "utf8",
});

const worker = `${script}
self.onmessage = ({ data, source }) => {
  const client = relay.createRelayClient({ relay: data });
  client.send("table").finished().then((end) => source.postMessage(end.reason + end.text), (err) => source.postMessage(err.message));
};`;

let running;
let site;
before(async () => {
  site = createServer((req, res) => {
    res.writeHead(200, { "content-type": req.url === "/worker.js" ? "text/javascript" : "text/html" });
    res.end(req.url === "/worker.js" ? worker : "<!doctype html><title>A page with a service worker</title>");
  });
  await new Promise((done) => site.listen(0, "127.0.0.1", done));
  site.origin = `http://127.0.0.1:${site.address().port}`;
  running = await startRelay("demo", { RELAY_ALLOWED_ORIGINS: site.origin });
});
after(async () => {
  await running.stop();
  site.closeAllConnections();
  site.close();
});

test("fetch, streams, signals and randomUUID are enough", { timeout: 60_000 }, async () => {
  const cut = new Set();
  const only = {
    fetch: (url, init) => {
      const life = new AbortController();
      cut.add(life);
      return fetch(url, { ...init, signal: AbortSignal.any([life.signal, ...(init.signal ? [init.signal] : [])]) });
    },
    ReadableStream, AbortSignal, AbortController, URL, TextDecoder, TextEncoder, setTimeout, clearTimeout, setInterval, clearInterval, console, btoa,
    crypto: { randomUUID: () => crypto.randomUUID() },
  };
  const context = createContext(only);
  runInContext(script, context);
  const client = runInContext(`relay.createRelayClient({ relay: ${JSON.stringify(running.url)} })`, context);
  const turn = client.send("table");
  const half = new Promise((done) => client.messages.subscribe(({ items }) => items.at(-1)?.text.length > 100 && done()));
  await half;
  for (const life of cut) life.abort(); // open connections are lost; the client reconnects
  const { reason, text } = await turn.finished();
  assert.equal(reason, "done");
  assert.match(text, /\| `page` \|/);
  const file = client.send("what is in it?", [{ name: "note.txt", mime: "text/plain", data: new Uint8Array([104, 105]) }]);
  assert.match((await file.finished()).text, /sent note.txt/);
  client.close();
});

test("a service worker talks to the agent", { timeout: 60_000 }, async () => {
  const browser = await launch();
  try {
    const page = await browser.newPage();
    await page.goto(site.origin);
    const said = await page.evaluate(async (relay) => {
      await navigator.serviceWorker.register("/worker.js");
      const { active } = await navigator.serviceWorker.ready;
      return new Promise((done) => {
        navigator.serviceWorker.onmessage = ({ data }) => done(data);
        active.postMessage(relay);
      });
    }, running.url);
    assert.match(said, /^done.*\| `page` \|/s);
  } finally {
    await browser.close();
  }
});
