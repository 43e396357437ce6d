// Behavior required in every engine: protocol, storage, focus, layout, Markdown,
// announcements. Each test is written once and names its engines; the files
// engine-*.test.mjs run them, one browser each.
import assert from "node:assert/strict";
import { everywhere, only } from "./engine-runner.mjs";
import { eventually } from "./helpers.mjs";

export { run } from "./engine-runner.mjs";

const answered = ["user: hello", "agent: You said: hello"];

everywhere("words are shown as they come, while the answer goes on", async ({ relay, visit }) => {
  relay.agent = () => {};
  const page = await visit(relay.url);
  await page.say("hello");
  await eventually(() => assert.equal(relay.only?.busy, true));
  let said = "";
  for (const word of ["One", " two", " three é 漢 🙂"]) {
    relay.emit(relay.only, "text", { text: word, delta: true });
    said += word;
    await page.shows(["user: hello", `agent: ${said}`]);
  }
  relay.emit(relay.only, "text", { text: said, delta: false });
  relay.emit(relay.only, "turn_end", { reason: "done" });
  await page.shows(["user: hello", `agent: ${said}`]);
});

everywhere("a connection that is cut is taken up again after the last event, cross-origin too", async ({ relay, tag, site, visit }) => {
  const page = await visit((await site(tag("data-open"))).url);
  await page.say("hello");
  await page.shows(answered);
  const last = relay.only.events.findLast((e) => e.id).id;
  for (const text of ["One", "Two"]) {
    relay.cut(relay.only);
    relay.emit(relay.only, "text", { text, delta: false });
    await eventually(async () => assert.equal((await page.transcript()).at(-1), `agent: ${text}`));
  }
  assert.deepEqual(await page.transcript(), [...answered, "agent: One", "agent: Two"]);
  const asked = relay.requests.filter((r) => r.path === "/v1/events").map((r) => r.headers["last-event-id"]);
  assert.ok(asked.includes(last), `${asked} names ${last}`);
  assert.match(relay.requests.find((r) => r.path === "/v1/events").headers.authorization, /^Bearer /);
});

everywhere("a refusal with a wait is waited out, and the turn is sent once", async ({ relay, visit }) => {
  let refused = 0;
  relay.fault = (req, res, path) => {
    if (path !== "/v1/messages" || refused++) return false;
    res.writeHead(503, { "content-type": "application/problem+json", "retry-after": "1" });
    res.end('{"code":"session_booting","detail":"Waking."}');
    return true;
  };
  const page = await visit(relay.url);
  await page.say("hello");
  await page.shows(answered);
  const keys = relay.requests.filter((r) => r.path === "/v1/messages").map((r) => r.headers["idempotency-key"]);
  assert.equal(keys.length, 2);
  assert.equal(keys[0], keys[1]);
});

everywhere("a reload finds the conversation, the draft and the open panel again", async ({ relay, tag, site, visit }) => {
  const page = await visit((await site(tag())).url);
  await page.click(".launcher");
  await page.say("hello");
  await page.shows(answered);
  await page.the("textarea", (el) => el.focus());
  await page.type("a draft");
  await page.reload();
  await page.shows(answered);
  assert.equal(await page.the("textarea", (el) => el.value), "a draft");
  assert.equal(relay.visitors.size, 1);
});

everywhere("where nothing can be stored, the chat works as long as the page is there", async ({ relay, tag, site, visit }) => {
  const own = await site(`${tag("data-open")}<script>parent.postMessage(0, "*")</script>`);
  const outer = await site(`<iframe sandbox="allow-scripts" src="${own.url}" width="600" height="700"></iframe>`);
  const page = await visit(outer.url);
  await eventually(() => assert.ok(relay.requests.some((r) => r.path === "/v1/events" && r.headers.origin === "null")));
  relay.emit(relay.only, "text", { text: "Hi", delta: false });
  await eventually(() => assert.equal(relay.only.streams.size, 1));
  assert.equal(await page.evaluate(() => document.querySelector("iframe").contentDocument), null, "the frame is another world");
});

everywhere("what a frame on another site stores is not what the site itself has", async ({ relay, tag, site, visit }) => {
  const own = await site(tag("data-open"));
  const page = await visit(own.url);
  await page.say("hello");
  await page.shows(answered);
  const outer = await site(`<iframe src="${own.url}" width="600" height="700"></iframe>`);
  await visit(outer.url.replace("127.0.0.1", "localhost"));
  await eventually(() => assert.equal(relay.visitors.size, 2, "it is another visitor there"));
  assert.deepEqual([...relay.visitors.values()].map((v) => v.events.filter((e) => e.type === "user").length), [1, 0]);
});

everywhere("two tabs share one stream, and both show everything", async ({ relay, tag, site, visit }) => {
  const { url } = await site(tag("data-open"));
  const one = await visit(url);
  await one.say("hello");
  await one.shows(answered);
  const two = await visit(url);
  await two.shows(answered);
  assert.equal(relay.visitors.size, 1);
  assert.equal(relay.only.streams.size, 1);
  relay.emit(relay.only, "text", { text: "News", delta: false });
  for (const page of [one, two]) await page.shows([...answered, "agent: News"]);
});

everywhere("a page that is left and come back to has missed nothing, and holds one stream", async ({ relay, tag, site, visit }) => {
  const { url } = await site(tag("data-open"));
  const other = await site("<h1>Other</h1>");
  const page = await visit(url);
  await page.say("hello");
  await page.shows(answered);
  await page.goto(other.url);
  await eventually(() => assert.equal(relay.only.streams.size, 0, "a page that is left holds no stream"));
  relay.emit(relay.only, "text", { text: "Missed", delta: false });
  await page.back();
  await page.shows([...answered, "agent: Missed"]);
  assert.equal(relay.only.streams.size, 1);
});

everywhere("a page that is told that it was frozen renews its stream", async ({ relay, tag, site, visit }) => {
  const page = await visit((await site(tag("data-open"))).url);
  await page.say("hello");
  await page.shows(answered);
  const streams = () => relay.requests.filter((r) => r.path === "/v1/events").length;
  const before = streams();
  await page.evaluate(() => {
    for (const type of ["pagehide", "pageshow"]) window.dispatchEvent(new PageTransitionEvent(type, { persisted: true }));
  });
  await eventually(() => assert.ok(streams() > before));
  await eventually(() => assert.equal(relay.only.streams.size, 1));
  relay.emit(relay.only, "text", { text: "News", delta: false });
  await page.shows([...answered, "agent: News"]);
});

everywhere("opening gives the focus to the field, Escape back to the button, and keys do what they should", async ({ tag, site, visit }) => {
  const page = await visit((await site(`<p>Words.</p>${tag()}`)).url);
  await page.click(".launcher");
  await eventually(async () => assert.equal(await page.focused("textarea"), true));
  await page.type("one");
  await page.press("Enter", true);
  await page.type("two");
  assert.equal(await page.the("textarea", (el) => el.value), "one\ntwo");
  await page.press("F6");
  assert.equal(await page.focused(".log"), true);
  await page.press("F6");
  assert.equal(await page.focused("textarea"), true);
  await page.press("Escape");
  assert.equal(await page.focused(".launcher"), true);
  assert.equal(await page.the(".shell", (el) => el.hidden), true);
  await page.press("Enter");
  await eventually(async () => assert.equal(await page.focused("textarea"), true));
  await page.press("Enter");
  await page.shows(["user: one\ntwo", "agent: You said: one\ntwo"]);
});

everywhere("the panel is within the window, its parts do not overlap, and the latest words are in sight", async ({ relay, tag, site, visit }) => {
  const page = await visit((await site(tag("data-open"))).url);
  relay.agent = (r, v) => {
    r.emit(v, "text", { text: Array.from({ length: 60 }, (_, n) => `Paragraph ${n} of a long answer.`).join("\n\n"), delta: false });
    r.emit(v, "turn_end", { reason: "done" });
  };
  await page.say("hello");
  await eventually(async () => assert.match(String(await page.text(".agent:not(.open) .text")), /Paragraph 59/));
  const look = () => page.the(".shell", (shell) => {
    const box = (selector) => {
      const { left, top, right, bottom } = shell.querySelector(selector).getBoundingClientRect();
      return { left, top, right, bottom };
    };
    const { left, top, right, bottom } = shell.getBoundingClientRect();
    const log = shell.querySelector(".log");
    return { shell: { left, top, right, bottom }, head: box(".head"), log: box(".log"), composer: box(".composer"), last: box(".agent .text > :last-child"), wide: log.scrollWidth > log.clientWidth, window: [innerWidth, innerHeight], page: document.documentElement.scrollWidth > innerWidth, size: getComputedStyle(shell.querySelector("textarea")).fontSize };
  });
  await eventually(async () => {
    const l = await look();
    assert.ok(l.last.bottom <= l.log.bottom + 1 && l.last.top >= l.log.top, `the last words are in sight: ${JSON.stringify(l)}`);
  });
  const l = await look();
  assert.ok(l.shell.left >= 0 && l.shell.top >= 0 && l.shell.right <= l.window[0] && l.shell.bottom <= l.window[1], JSON.stringify(l));
  assert.ok(l.head.bottom <= l.log.top + 1 && l.log.bottom <= l.composer.top + 1 && l.composer.bottom <= l.shell.bottom, JSON.stringify(l));
  assert.deepEqual([l.wide, l.page, l.size], [false, false, "16px"]);
});

everywhere("Markdown becomes the same nodes", async ({ relay, visit }) => {
  const text = "# One\n\nA *b* **c** ~~d~~ `e` [f](https://example.com/?a=1) <b>g</b> https://example.org\n\n- h\n- [x] i\n\n3. j\n\n> k\n\n```js\nlet l = \"<m>\";\n```\n\n| n | o |\n|---|--:|\n| p | q |\n";
  relay.agent = (r, v) => {
    for (const piece of text.match(/[^]{1,7}/g)) r.emit(v, "text", { text: piece, delta: true });
    r.emit(v, "text", { text, delta: false });
    r.emit(v, "turn_end", { reason: "done" });
  };
  const page = await visit(relay.url);
  await page.say("hello");
  const outline = () => page.the(".agent:not(.open) .text", (el) => {
    const tell = (node) => (node.nodeType === 3 ? node.data.trim() : `${node.localName}(${[...node.childNodes].map(tell).filter(Boolean).join(" ")})`);
    return el && [...el.childNodes].map(tell);
  });
  await eventually(async () => assert.deepEqual(await outline(), [
    "h3(One)",
    "p(A em(b) strong(c) del(d) code(e) a(f) <b>g</b> a(https://example.org))",
    "ul(li(h) li(input() i))",
    "ol(li(j))",
    "blockquote(p(k))",
    'div(div(span(js) button(Copy)) pre(code(let l = "<m>";)))',
    "div(table(thead(tr(th(n) th(o))) tbody(tr(td(p) td(q)))))",
  ]));
});

everywhere("the screen reader is told who answers, and the answer once, when it is whole", async ({ relay, visit }) => {
  relay.agent = () => {};
  const page = await visit(relay.url);
  await eventually(async () => assert.equal(await page.the(".dot", (el) => el?.dataset.state), "open")); // a slow connection is told too
  await page.evaluate(() => {
    window.told = [];
    for (const region of document.querySelector("relay-chat").shadowRoot.querySelectorAll("[role=status], [role=alert]")) {
      new MutationObserver(() => region.textContent && window.told.push(region.textContent)).observe(region, { childList: true, characterData: true, subtree: true });
    }
  });
  await page.say("hello");
  const told = () => page.evaluate(() => window.told);
  await eventually(async () => assert.deepEqual(await told(), ["Agent is responding"]));
  for (const word of ["**One**", " two", " three"]) relay.emit(relay.only, "text", { text: word, delta: true });
  relay.emit(relay.only, "text", { text: "**One** two three", delta: false });
  relay.emit(relay.only, "turn_end", { reason: "done" });
  await eventually(async () => assert.deepEqual(await told(), ["Agent is responding", "One two three"]));
  assert.deepEqual(await page.the(".log", (el) => [el.getAttribute("role"), el.getAttribute("aria-live")]), ["log", "off"]);
});

everywhere("a file goes along with a message, as it is", async ({ relay, visit }) => {
  const page = await visit(relay.url);
  await eventually(async () => assert.equal(await page.the(".icon[part=attach]", (el) => !!el && !el.hidden), true));
  await page.the("input[type=file]", (el) => {
    const files = new DataTransfer();
    files.items.add(new File(["A file, é."], "a.txt", { type: "text/plain" }));
    el.files = files.files;
    el.dispatchEvent(new Event("change"));
  });
  await eventually(async () => assert.equal(await page.text(".chips .file span"), "a.txt"));
  await page.say("hello");
  await page.shows(["user: hello [a.txt]", "agent: You said: hello"]);
  const { attachments } = relay.requests.find((r) => r.path === "/v1/messages").body;
  assert.deepEqual(attachments, [{ name: "a.txt", mime: "text/plain", data: Buffer.from("A file, é.").toString("base64") }]);
});

everywhere("a panel that could not be loaded is loaded at the next attempt", async ({ relay, tag, site, visit }) => {
  let failures = 2; // when the pointer enters, and when it presses
  relay.fault = (req, res, path) => path.startsWith("/assets/panel.") && failures-- > 0 && (res.destroy(), true);
  const page = await visit((await site(tag())).url);
  await eventually(async () => {
    if (await page.the(".shell", (el) => !el || el.hidden)) await page.click(".launcher");
    assert.equal(await page.the(".shell", (el) => !!el && !el.hidden), true);
  });
  assert.ok(failures < 1, "it failed before");
  await page.say("hello");
  await page.shows(answered);
});

everywhere("a strict policy without trusted types is enough, and names that elements take do no harm", async ({ relay, tag, site, visit }) => {
  const origin = new URL(relay.url).origin;
  const names = ["currentScript", "body", "hidden", "title", "createElement", "readyState", "documentElement", "scripts"];
  const { url } = await site(`${names.map((n) => `<img name="${n}">`).join("")}${tag("data-open data-title=Ask")}`, {
    "content-security-policy": `default-src 'none'; script-src ${origin}; connect-src ${origin}; require-trusted-types-for 'script'; trusted-types 'none'`,
  });
  const page = await visit(url);
  await page.say("hello");
  await page.shows(answered);
  assert.equal(await page.text("h2"), "Ask");
  assert.match(await page.the(".launcher", (el) => getComputedStyle(el).position), /fixed/);
});

everywhere("a loader that comes as a module finds its relay", async ({ relay, site, visit }) => {
  for (const body of [`<script type="module" src="${relay.url}widget.js" data-open data-title="Ask"></script>`, `<script type="module">await import("${relay.url}widget.js"); RelayChat.open()</script>`]) {
    const page = await visit((await site(body)).url);
    await page.say("hello");
    await page.shows(answered);
    assert.equal(await page.text("h2"), body.includes("Ask") ? "Ask" : "Chat");
  }
});

everywhere("a page that adds a header which the relay does not know is told so", async ({ relay, tag, site, visit }) => {
  const page = await visit((await site(`<script>
    const native = window.fetch;
    window.fetch = function (input, init) {
      const request = new Request(input, init);
      request.headers.set("x-acme-trace", "1");
      return native.call(this, request);
    };
  </script>${tag("data-open")}`)).url);
  await eventually(async () => assert.match(String(await page.text(".banner")), /adds request headers/));
  assert.equal(relay.visitors.size, 0);
});

only(["chromium", "firefox"], "a service worker that answers every GET from its cache does not freeze the chat", async ({ relay, tag, site, visit }) => {
  const own = await site("");
  own.html = {
    "/": `<!doctype html><html lang="en"><title>Site</title><script>window.ready = navigator.serviceWorker.register("/sw.js").then(() => navigator.serviceWorker.controller || new Promise((done) => navigator.serviceWorker.addEventListener("controllerchange", done)))</script>${tag()}`,
    "/sw.js": `
      addEventListener("install", () => skipWaiting());
      addEventListener("activate", (e) => e.waitUntil(clients.claim()));
      addEventListener("fetch", (e) => e.request.method === "GET" && e.respondWith(caches.match(e.request).then((hit) => hit || fetch(e.request).then((res) => {
        const copy = res.clone();
        caches.open("all").then((all) => all.put(e.request, copy)).catch(() => {});
        return res;
      }))));`,
  };
  const page = await visit(own.url);
  await page.evaluate(() => window.ready.then(() => true));
  await page.click(".launcher");
  await page.say("hello");
  await page.shows(answered);
  for (const text of ["One", "Two"]) {
    relay.finish(relay.only);
    await eventually(() => assert.equal(relay.only.streams.size, 1));
    relay.emit(relay.only, "text", { text, delta: false });
    await eventually(async () => assert.equal((await page.transcript()).at(-1), `agent: ${text}`));
  }
});
