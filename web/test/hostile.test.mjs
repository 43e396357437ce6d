// Whatever the agent's text, nothing runs, loads, is framed, posted or styled. The
// browser's own reports are the alarm.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { FakeRelay, startSite, strictPolicy } from "./fake-relay.mjs";
import { corpus } from "./hostile-corpus.mjs";
import { composer, eventually, launch, open, say, settled } from "./helpers.mjs";

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

/** A page of the relay with its own policy, which reports violations. */
function reporting() {
  const reports = [];
  relay.fault = (req, res, path) => {
    if (path === "/report") {
      reports.push(relay.requests.at(-1).body);
      res.writeHead(204).end();
      return true;
    }
    if (path === "/") res.setHeader("reporting-endpoints", "x=\"/report\"");
    return false;
  };
  relay.policy = `${strictPolicy}; report-uri /report`;
  return reports;
}

/** All elements of the widget that text could have created. */
const allowed = {
  a: ["href", "title", "target", "rel"], article: [], aside: [], b: [], blockquote: ["dir"], br: [], button: ["type", "disabled"], code: [], del: [], details: ["open"], div: ["style"], em: [], form: [], h2: [], h3: [], h4: [], h5: [], h6: [], hr: [], i: [],
  img: ["src", "alt"], input: ["type", "disabled", "checked", "placeholder", "readonly", "name", "autocomplete", "enterkeyhint", "hidden", "multiple", "accept", "maxlength"], label: [], li: [], ol: ["start", "dir"], p: [], path: ["d"], pre: ["dir"], progress: ["value", "max"], small: [], span: [], strong: [], summary: [], svg: ["viewbox", "fill", "stroke", "stroke-width", "stroke-linecap", "stroke-linejoin"],
  table: [], tbody: [], td: [], textarea: ["rows", "placeholder", "style", "enterkeyhint", "autocomplete"], th: [], thead: [], time: ["datetime"], tr: [], ul: ["dir"],
};
const anywhere = /^(class|id|part|role|tabindex|title|dir|lang|hidden|aria-[a-z]+|data-[a-z-]+)$/;

/** Elements in the shadow root that must not be there. */
function inspect(page) {
  return page.evaluate(([tags, generally]) => {
    const found = [];
    for (const el of document.querySelector("relay-chat").shadowRoot.querySelectorAll(".shell *")) {
      const attrs = tags[el.localName];
      if (!attrs) found.push(`<${el.localName}>`);
      for (const { name, value } of el.attributes) {
        if (!attrs?.includes(name.toLowerCase()) && !new RegExp(generally).test(name)) found.push(`<${el.localName} ${name}="${value}">`);
        if (name === "style" && !/^(\s*(height|overflow-y|width): ?[a-z0-9.%]+;?)*$/.test(value)) found.push(`style ${value}`);
      }
      if (el.localName === "img" && !/^(blob|data):/.test(el.src)) found.push(`<img src=${el.src}>`);
      if (el.localName === "a" && !(/^(https?|mailto|tel):$/.test(el.protocol) && el.rel === "noopener noreferrer nofollow" && el.target === "_blank")) found.push(el.outerHTML);
      if (el.localName === "a" && el.parentElement.closest("a")) found.push("a link in a link");
    }
    return found;
  }, [allowed, anywhere.source]);
}

/** Sends every text of the corpus in every place that shows the agent's text. */
async function sayAll(page) {
  relay.agent = (r, v) => {
    for (const [n, text] of corpus.entries()) {
      r.emit(v, "user", { text, attachments: n % 50 ? [] : [{ name: text, type: "text/plain", size: 1 }], turn: `t${n}` });
      r.emit(v, "text", { text, delta: false });
      if (n % 6 === 0) r.emit(v, "tool", { name: text, state: "running", summary: text });
      if (n % 6 === 1) r.emit(v, "tool", { name: text, state: text, summary: text });
      if (n % 6 === 2) r.emit(v, "question", { id: `q${n}`, question: text, options: [text, { label: text, description: text, value: text }] });
      if (n % 6 === 3) r.emit(v, "approval", { id: `a${n}`, tool: text, input: n % 2 ? text : { [text]: text } });
      if (n % 6 === 4) r.emit(v, "settled", { id: `q${n - 2}`, outcome: text });
      if (n % 6 === 5) r.emit(v, "problem", { code: text, detail: text, title: text });
      r.emit(v, "turn_end", { reason: n % 7 ? "done" : "failed", code: text });
    }
    r.emit(v, "text", { text: "The end.", delta: false });
    r.emit(v, "turn_end", { reason: "done" });
  };
  await say(page, "go");
  await eventually(async () => assert.match(await page.locator("relay-chat [data-role=agent]").last().textContent(), /^The end\./), 60_000);
}

test("the alarm works: the browser reports what the policy stops", async () => {
  const reports = reporting();
  const page = await open(context, relay.url);
  await composer(page).waitFor();
  await page.evaluate(() => {
    const img = document.createElement("img");
    img.src = "http://127.0.0.1:9/beacon";
    document.querySelector("relay-chat").shadowRoot.querySelector(".log").append(img);
  });
  await eventually(() => assert.match(JSON.stringify(reports), /img-src/));
  assert.deepEqual((await inspect(page)).length, 1);
});

test("hostile words under the strict policy make the browser report nothing", async () => {
  const reports = reporting();
  const page = await open(context, relay.url);
  const went = [];
  page.on("request", (r) => went.push(r.url()));
  await sayAll(page);
  assert.deepEqual(await inspect(page), []);
  // A reload shows the same from the history.
  await page.reload();
  await eventually(async () => assert.match(await page.locator("relay-chat [data-role=agent]").last().textContent(), /^The end\./), 60_000);
  assert.deepEqual(await inspect(page), []);
  assert.deepEqual(reports, []);
  assert.deepEqual(page.wrong, []);
  assert.deepEqual(went.filter((u) => !u.startsWith(relay.url)), []);
});

test("hostile words on a page without any policy run nothing, fetch nothing, and lead nowhere", async () => {
  const site = await startSite(`<!doctype html><title>Site</title><form id="f"><input name="password"></form><script async src="${relay.url}widget.js" data-open></script>`);
  try {
    const page = await open(context, site.url);
    const went = [];
    const moved = [];
    context.on("request", (r) => went.push(r.url()));
    context.on("page", (p) => moved.push(p.url()));
    page.on("framenavigated", (f) => moved.push(f.url()));
    await composer(page).waitFor();
    went.length = 0;
    await sayAll(page);
    assert.deepEqual(await inspect(page), []);
    for (const type of ["mouseover", "focus", "pointerenter", "animationstart", "load", "error", "toggle"]) {
      await page.evaluate((t) => {
        for (const el of document.querySelector("relay-chat").shadowRoot.querySelectorAll("article *")) el.dispatchEvent(new Event(t));
      }, type);
    }
    assert.equal(await page.evaluate(() => window.pwned), undefined);
    assert.deepEqual(page.wrong, []);
    assert.deepEqual(went.filter((u) => !u.startsWith(relay.url)), []);
    assert.deepEqual(moved, []);
    assert.equal(await page.title(), "Site");
    assert.equal(await page.evaluate(() => document.querySelectorAll("relay-chat").length), 1);
  } finally {
    await site.stop();
  }
});

test("hostile words that come one character at a time never are anything on the way", async () => {
  const reports = reporting();
  const chosen = corpus.filter((text, n) => n % 9 === 0 && text.length < 200);
  let step;
  relay.agent = async (r, v) => {
    for (const text of chosen) {
      for (const ch of text) r.emit(v, "text", { text: ch, delta: true });
      await new Promise((done) => (step = done));
      r.emit(v, "text", { text, delta: false });
      r.emit(v, "turn_end", { reason: "done" });
      r.emit(v, "user", { text: "next", attachments: [] });
    }
    r.emit(v, "turn_end", { reason: "done" });
  };
  const page = await open(context, relay.url);
  await composer(page).waitFor();
  await page.evaluate(() => {
    window.odd = [];
    new MutationObserver((all) => {
      for (const m of all) {
        for (const n of m.addedNodes) for (const el of n.querySelectorAll ? [n, ...n.querySelectorAll("*")] : []) if (/^(script|img|svg:image|iframe|object|embed|style|link|form|base|meta|video|audio|template|math)$/.test(el.localName)) window.odd.push(el.outerHTML);
        if (m.attributeName?.startsWith("on")) window.odd.push(m.attributeName);
      }
    }).observe(document.querySelector("relay-chat").shadowRoot.querySelector(".log"), { childList: true, subtree: true, attributes: true });
  });
  await say(page, "go");
  for (let n = 0; n < chosen.length; n++) {
    await eventually(() => assert.ok(step));
    const next = step;
    step = null;
    next();
  }
  await settled(page);
  assert.deepEqual(await page.evaluate(() => window.odd), []);
  assert.deepEqual(await inspect(page), []);
  assert.deepEqual(reports, []);
  assert.deepEqual(page.wrong, []);
});

test("a link shows where it leads when its words say otherwise", async () => {
  relay.agent = (r, v) => {
    r.emit(v, "text", { text: "[good.example](https://evil.invalid/) [https://good.example/login](https://evil.invalid/) [раypal.com](https://xn--ypal-43d9g.invalid/) [\u202ehttps://good.example\u202c](https://evil.invalid) [https://good.example@evil.invalid](https://evil.invalid) [words](https://evil.invalid) [good.example](https://good.example/x) [x](https://user:secret@evil.invalid/)", delta: false });
    r.emit(v, "turn_end", { reason: "done" });
  };
  const page = await open(context, relay.url);
  await say(page, "go");
  await settled(page);
  const links = await page.locator("relay-chat [data-role=agent] a").evaluateAll((all) => all.map((a) => a.textContent));
  assert.deepEqual(links, ["good.example (evil.invalid)", "https://good.example/login (evil.invalid)", "раypal.com (xn--ypal-43d9g.invalid)", "https://good.example (evil.invalid)", "https://good.example@evil.invalid (evil.invalid)", "words", "good.example", "x"]);
  for (const a of await page.locator("relay-chat [data-role=agent] a").all()) assert.equal(await a.getAttribute("title"), await a.evaluate((el) => el.href), "and its title says so of each");
});

test("bombs of 64 KiB leave the page alive, and shallow", async () => {
  const n = 1 << 16;
  const bombs = ["[", "*", ">", "`", "|a", "- ", "![](", "**a *b ", "a\u0301\u0301", "<a:", "&a", "# ", "1. ", "https://a.b/("].map((unit) => unit.repeat(n / unit.length));
  relay.agent = (r, v) => {
    for (const [k, text] of bombs.entries()) {
      r.emit(v, "text", { text, delta: false });
      r.emit(v, "user", { text: `bomb ${k}`, attachments: [] });
    }
    r.emit(v, "text", { text: "Alive.", delta: false });
    r.emit(v, "turn_end", { reason: "done" });
  };
  const page = await open(context, relay.url);
  await say(page, "go");
  await eventually(async () => assert.match(await page.locator("relay-chat [data-role=agent]").last().textContent(), /^Alive\./), 120_000);
  const depth = await page.evaluate(() => {
    let most = 0;
    const walk = document.createTreeWalker(document.querySelector("relay-chat").shadowRoot.querySelector(".log"), NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      let d = 0;
      for (let up = node.parentNode; up; up = up.parentNode) d++;
      most = Math.max(most, d);
    }
    return most;
  });
  assert.ok(depth < 120, `depth ${depth}`);
  assert.deepEqual(page.wrong, []);
});

test("messages that other frames and windows post are nothing to the widget", async () => {
  const site = await startSite(`<!doctype html><title>Site</title><script async src="${relay.url}widget.js" data-open></script>`);
  try {
    const page = await open(context, site.url);
    await composer(page).waitFor();
    const before = relay.requests.length;
    await page.evaluate(async () => {
      const frame = document.createElement("iframe");
      frame.srcdoc = `<script>for (const m of [["send", "x"], { type: "relay-chat:send", text: "x" }, { event: "open" }, "relay-chat:destroy", { __proto__: { send: 1 } }, null, 1]) { parent.postMessage(m, "*"); }<\/script>`;
      document.body.append(frame);
      for (const m of [["send", "x"], { type: "send", text: "x" }, '{"type":"send"}']) postMessage(m, "*");
      await new Promise((done) => (frame.onload = done));
      await new Promise((done) => { addEventListener("message", (e) => e.data === "last" && done()); postMessage("last", "*"); });
    });
    assert.deepEqual(relay.requests.slice(before).filter((r) => r.method === "POST" && r.path !== "/v1/visitor").map((r) => r.path), []);
    assert.equal(await page.locator("relay-chat").count(), 1);
    assert.deepEqual(page.wrong, []);
  } finally {
    await site.stop();
  }
});
