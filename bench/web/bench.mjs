// Measures the widget in Chromium beside deep-chat, the web component nearest
// to it, in one run, and writes docs/benchmarks-web.md. Needs what make test
// needs.
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { cpus, loadavg } from "node:os";
import { gzipSync } from "node:zlib";
import { FakeRelay } from "../../web/test/fake-relay.mjs";
import { eventually, launchWhole } from "../../web/test/helpers.mjs";

const slow = 4; // times the CPU is slowed down, as on a cheap phone
const piece = 4; // characters that come at once
const pace = 25; // pieces sent every 10 ms, ten times what an agent writes
const turns = 60; // of the hour: an answer of 6 KB each minute
const messages = 1000;
const patience = 20_000; // ms that each is given for an answer, and for the hour

const paragraphs = [
  "## What it comes to\n\nThe answer has **several parts**, of which *this* is one, and a `name_in_code` as well as a [link](https://example.com/page).\n\n",
  "- a point that is made in about as many words as this\n- another, with **weight**\n  - and one that belongs to it\n- the last of them\n\n",
  "```js\nfor (const part of parts) {\n  if (part.open) continue; // not yet\n  console.log(part.name, part.size);\n}\n```\n\n",
  "| name | size | kind |\n|:-----|-----:|------|\n| one | 12 | `a` |\n| two | 345 | **b** |\n\n",
  "> A quotation that goes on for a while, so that there is something in it to be broken into lines.\n\n1. first\n2. second\n3. third\n\n",
];
/** Markdown as agents write it, n characters long. */
function markdown(n) {
  let text = "";
  for (let k = 0; text.length < n; k++) text += paragraphs[k % paragraphs.length];
  return text.slice(0, n);
}
const long = markdown(60_000);
const short = markdown(6_000);
const history = Array.from({ length: messages }, (_, n) => ({ role: n % 2 ? "agent" : "user", text: n % 2 ? `Answer ${n}: ${paragraphs[n % 5]}` : `Question ${n}, which is a line long.` }));

const tick = () => new Promise((done) => setTimeout(done, 10));

/** Hands a text out in pieces, at the pace of the measurement. */
async function inPieces(text, write) {
  for (let at = 0, n = 0; at < text.length; at += piece) {
    write(text.slice(at, at + piece));
    if (++n % pace === 0) await tick();
  }
}

const relay = await new FakeRelay().start();
relay.agent = async (r, v, asked) => {
  const text = asked === "long" ? long : short;
  await inPieces(text, (p) => r.emit(v, "text", { text: p, delta: true }));
  r.emit(v, "text", { text, delta: false });
  r.emit(v, "turn_end", { reason: "done" });
};

const bundle = readFileSync(new URL("node_modules/deep-chat/dist/deepChat.bundle.js", import.meta.url));
const version = JSON.parse(readFileSync(new URL("node_modules/deep-chat/package.json", import.meta.url), "utf8")).version;
const site = createServer(async (req, res) => {
  if (req.url === "/deep-chat.js") return res.writeHead(200, { "content-type": "text/javascript" }).end(bundle);
  if (req.url === "/answer") {
    let body = "";
    for await (const chunk of req) body += chunk;
    res.writeHead(200, { "content-type": "text/event-stream" });
    await inPieces(/"long"/.test(body) ? long : short, (text) => res.write(`data: ${JSON.stringify({ text })}\n\n`));
    return res.end();
  }
  res.writeHead(200, { "content-type": "text/html; charset=utf-8" });
  const head = '<!doctype html><html lang="en"><title>Site</title><body>';
  if (req.url === "/relay") return res.end(`${head}<div style="height:700px;width:420px"><relay-chat mode="inline"></relay-chat></div><script async src="${relay.url}widget.js"></script>`);
  const past = req.url === "/deep-history" ? history.map((m) => ({ role: m.role === "user" ? "user" : "ai", text: m.text })) : [];
  res.end(`${head}<div id="place"></div><script>
    const chat = document.createElement("deep-chat");
    chat.style.height = "700px"; chat.style.width = "420px";
    chat.setAttribute("connect", '{"url": "/answer", "stream": true}');
    ${past.length ? `chat.setAttribute("history", JSON.stringify(${JSON.stringify(past).replace(/</g, "\\u003c")}));` : ""}
    place.append(chat);
  </script><script type="module" src="/deep-chat.js"></script>`);
});
await new Promise((done) => site.listen(0, "127.0.0.1", done));
const at = (path) => `http://127.0.0.1:${site.address().port}${path}`;

// What is done with each, and how one sees that it is done.
const peers = {
  "relay-chat": {
    bytes: ["widget.js", "panel.js"].reduce((n, f) => n + gzipSync(readFileSync(new URL(`../../web/static/${f}`, import.meta.url)), { level: 9 }).length, 0),
    page: "/relay",
    past: "/relay",
    host: "relay-chat",
    ready: (root) => !!root.querySelector("textarea") && root.querySelector(".dot")?.dataset.state === "open",
    send: (el, text) => el.send(text),
    answers: (root) => root.querySelectorAll("[data-role=agent]:not(.open)").length,
    words: (root) => root.querySelector("[data-role=agent]")?.textContent.length ?? 0,
    shown: (root) => root.querySelectorAll("article").length,
  },
  [`deep-chat ${version}`]: {
    bytes: gzipSync(bundle, { level: 9 }).length,
    page: "/deep",
    past: "/deep-history",
    host: "deep-chat",
    ready: (root) => !!root.querySelector("#text-input"),
    send: (el, text) => el.submitUserMessage({ text }),
    answers: (root) => root.querySelectorAll(".ai-message-text").length,
    words: (root) => root.querySelector(".ai-message-text")?.textContent.length ?? 0,
    shown: (root) => root.querySelectorAll(".message-bubble").length,
  },
};

const browser = await launchWhole();
const chromium = browser.version();

/** Asks something of the element in the page. */
const ask = (page, peer, fn, arg) => page.evaluate(([host, source, a]) => {
  const el = document.querySelector(host);
  return el?.shadowRoot ? (0, eval)(`(${source})`)(host && source.startsWith("(el") ? el : el.shadowRoot, a) : null;
}, [peer.host, String(fn), arg]);

async function begin(peer, path, throttle) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 800 } });
  const page = await context.newPage();
  const cdp = await context.newCDPSession(page);
  if (throttle) await cdp.send("Emulation.setCPUThrottlingRate", { rate: throttle });
  if (path) {
    await page.goto(at(path));
    await eventually(async () => {
      if (!(await ask(page, peer, peer.ready))) throw new Error("not ready");
    }, 60_000);
  }
  return { context, page, cdp };
}

/**
 * Every task of the page's main thread while something is done, in ms of the
 * thread's own time where Chromium tells it: other programs don't count then.
 */
async function tasks(page, what) {
  const session = await browser.newBrowserCDPSession();
  const events = [];
  session.on("Tracing.dataCollected", ({ value }) => events.push(...value.filter((e) => e.name === "thread_name" || e.name === "RunTask" || e.name === "mark")));
  await session.send("Tracing.start", { traceConfig: { includedCategories: ["disabled-by-default-devtools.timeline", "blink.user_timing"] } });
  await page.evaluate(() => performance.mark("mark"));
  await what();
  const complete = new Promise((done) => session.once("Tracing.tracingComplete", done));
  await session.send("Tracing.end");
  await complete;
  const own = events.find((e) => e.name === "mark");
  const main = events.filter((e) => e.name === "RunTask" && e.pid === own.pid && e.tid === own.tid && e.ts > own.ts);
  await session.detach();
  return main.map((e) => (e.tdur ?? e.dur ?? 0) / 1000);
}

async function longAnswer(peer) {
  const { context, page } = await begin(peer, peer.page, slow);
  const began = Date.now();
  let took = 0;
  const all = await tasks(page, async () => {
    const late = new Promise((done) => setTimeout(done, patience, -1));
    // A page that is busy answers late, or not before it is closed.
    const soon = (asked) => Promise.race([asked.catch(() => -1), late]);
    await soon(ask(page, peer, peer.send, "long"));
    // Done when nothing more came for a while.
    for (let last = 0, still = 0; still < 60; ) {
      const n = await soon(ask(page, peer, peer.words));
      if (n < 0) return (took = Infinity);
      if (n !== last) took = Date.now() - began;
      still = n === last && n > 40_000 ? still + 1 : 0;
      last = n;
      await tick();
    }
  });
  await context.close();
  return { longest: Math.max(...all), over: all.filter((t) => t > 50).length, busy: all.reduce((x, y) => x + y, 0) / 1000, took: took / 1000 };
}

async function longHistory(peer) {
  const { context, page } = await begin(peer, null, slow);
  if (peer.past === "/relay") {
    // A visitor with a past: met first, then the past is put in the log.
    await page.goto(at("/relay"));
    await eventually(async () => {
      if (!(await ask(page, peer, peer.ready))) throw new Error("not ready");
    }, 60_000);
    const v = [...relay.visitors.values()].at(-1);
    v.epoch = 1;
    v.status = "running";
    for (const m of history) relay.emit(v, m.role === "user" ? "user" : "text", m.role === "user" ? { text: m.text, attachments: [] } : { text: m.text, delta: false });
  }
  await page.addInitScript(([host, shown, count]) => {
    const count_ = (0, eval)(`(${shown})`);
    const seen = (n, then) => {
      const root = document.querySelector(host)?.shadowRoot;
      if (root && count_(root) >= n) requestAnimationFrame(() => setTimeout(() => then(performance.now())));
      else requestAnimationFrame(() => seen(n, then));
    };
    seen(1, (ms) => (window.begun = ms));
    seen(count, (ms) => (window.painted = ms));
  }, [peer.host, String(peer.shown), messages]);
  const began = Date.now();
  await page.goto(at(peer.past), { waitUntil: "commit" });
  await eventually(async () => {
    if (!(await page.evaluate(() => window.painted)) && Date.now() - began < 2 * patience) throw new Error("not painted");
  }, 600_000);
  const past = await page.evaluate(() => ({ begun: window.begun ?? Infinity, paint: window.painted ?? Infinity }));
  await context.close();
  return past;
}

async function hour(peer) {
  const { context, page, cdp } = await begin(peer, peer.page, 0);
  const memory = async () => {
    await cdp.send("HeapProfiler.enable");
    for (let n = 0; n < 3; n++) await cdp.send("HeapProfiler.collectGarbage");
    await cdp.send("Performance.enable");
    const { metrics } = await cdp.send("Performance.getMetrics");
    return { heap: metrics.find((m) => m.name === "JSHeapUsedSize").value / 2 ** 20, nodes: metrics.find((m) => m.name === "Nodes").value };
  };
  const before = await memory();
  const began = Date.now();
  let n = 1;
  for (; n <= turns && Date.now() - began < patience; n++) {
    await ask(page, peer, peer.send, "short");
    let last = -1;
    await eventually(async () => {
      const root = await ask(page, peer, peer.answers);
      const total = await page.evaluate((host) => document.querySelector(host).shadowRoot.textContent.length, peer.host);
      const same = total === last;
      last = total;
      if (root < n || !same) throw new Error(`${root} answers`);
    }, 120_000);
  }
  const after = await memory();
  await context.close();
  return { said: n - 1, heap: after.heap - before.heap, nodes: after.nodes - before.nodes };
}

const rows = [];
for (const [name, peer] of Object.entries(peers)) {
  process.stderr.write(`${name}: a long answer… `);
  const answer = await longAnswer(peer);
  process.stderr.write("a long history… ");
  const past = await longHistory(peer);
  process.stderr.write("an hour… ");
  const memory = await hour(peer);
  process.stderr.write("done\n");
  rows.push({ name, bytes: peer.bytes, ...answer, ...past, ...memory });
}
await browser.close();
site.closeAllConnections();
site.close();
await relay.stop();

const cell = (f) => rows.map((r) => f(r)).join(" | ");
const report = `# Benchmarks of the widget

\`make bench-web\` wrote this page on ${new Date().toISOString().slice(0, 10)}: ${cpus().length} × ${cpus()[0].model.trim()}, load ${loadavg()[0].toFixed(1)} at the end, Linux,
Chromium ${chromium}, Node ${process.version}. The widgets ran one after the other, once. A loaded machine makes all times longer, so trust the ratios.
deep-chat is the comparison because it has the same structure: one web component in shadow DOM, one script. It renders Markdown by
replacing the message's HTML. It cannot resume a stream, and the page gives it its answers and its history.

| | ${cell((r) => r.name)} |
|---|${rows.map(() => "--:").join("|")}|
| script, gzip, KB | ${cell((r) => (r.bytes / 1024).toFixed(1))} |
| 60 KB answer in ${piece}-character chunks, CPU ${slow}× slowed: longest task, ms | ${cell((r) => r.longest.toFixed(0))} |
| … tasks over 50 ms | ${cell((r) => r.over)} |
| … main thread busy, s | ${cell((r) => r.busy.toFixed(1))} |
| … until the whole answer is shown, s | ${cell((r) => (Number.isFinite(r.took) ? r.took.toFixed(1) : `not in ${patience / 1000}`))} |
| ${messages.toLocaleString("en")} messages of history, CPU ${slow}× slowed: from navigation to the first message painted, ms | ${cell((r) => (Number.isFinite(r.begun) ? r.begun.toFixed(0) : `not in ${2 * patience}`))} |
| … to all messages painted, ms | ${cell((r) => (Number.isFinite(r.paint) ? r.paint.toFixed(0) : `not in ${2 * patience}`))} |
| an hour of answers, ${turns} × 6 KB in ${piece}-character chunks: answers in ${patience / 1000} s | ${cell((r) => r.said)} |
| … heap growth, KB per answer | ${cell((r) => ((r.heap * 1024) / r.said).toFixed(1))} |
| … DOM node growth, per answer | ${cell((r) => (r.nodes / r.said).toFixed(0))} |

The server sends ${pace} chunks every 10 ms, about ten times as fast as an agent writes, so the answer takes at least ${((long.length / piece / pace) * 0.01).toFixed(0)} s. The hour is an
hour's text at the same pace. A task that had not ended at the time limit is not counted. The heap is measured after a garbage
collection, with all answers in the page.

The goals are an answer without a task over 50 ms, and a history that is painted no later than deep-chat's. The history of relay-chat
arrives as single events. The widget renders them newest first and in batches, so the first rows appear long before the last.
`;
process.stdout.write(report);
writeFileSync(new URL("../../docs/benchmarks-web.md", import.meta.url), report);
