// @ts-check
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { RelayChatTransport } from "./ai-sdk.js";
import { Client } from "./client.js";
import { Conversation } from "./conversation.js";
import { createRelayClient, Problem } from "./index.js";
import { emptyView, reduce } from "./reduce.js";
import { Storage } from "./storage.js";
import { Stream } from "./stream.js";
import { track, unfinished } from "./turns.js";

/** @param {any[][]} events type, data, id */
const view = (...events) => events.reduce((v, [type, data, id = null]) => reduce(v, { type, data, id }), emptyView);
const said = (/** @type {string} */ turn, /** @type {string} */ id) => ["user", { text: turn, turn, attachments: [] }, id];
const open = ["session", { status: "running", epoch: 1 }];

test("a turn that was stopped ends once, and what is logged later takes nothing back", () => {
  const stopped = view(open, said("a", "1-1"), ["text", { text: "Let", delta: true }], ["turn_end", { reason: "stopped", turn: "a" }]);
  assert.equal(stopped.busy, false);
  assert.deepEqual(stopped.items.map((i) => [i.kind, i.text]), [["user", "a"], ["agent", "Let"], ["end", "stopped"]]);
  const next = [said("b", "1-5"), ["turn_end", { reason: "interrupted", turn: "a" }, "1-6"]].reduce((v, [type, data, id]) => reduce(v, { type, data, id }), stopped);
  assert.equal(next.busy, true, "the next turn goes on");
  assert.equal(next.items[0].ended, "stopped");
  assert.deepEqual(unfinished(next), ["b"]);
});

test("a turn that is to stop says so until it ends, also after a cut", () => {
  const asked = view(open, said("a", "1-1"), ["stopping", { turn: "a", on: true }], ["connected", null], open);
  assert.equal(asked.items[0].stopping, true);
  assert.equal(reduce(asked, { type: "turn_end", data: { reason: "stopped", turn: "a" } }).items[0].stopping, false);
  assert.equal(reduce(asked, { type: "stopping", data: { turn: "a", on: false } }).items[0].stopping, false);
});

test("an answer that ended may be rated, and the last word counts", () => {
  const done = view(open, said("a", "1-1"), ["text", { text: "Yes.", delta: false }, "1-2"], ["turn_end", { reason: "done", turn: "a" }, "1-3"]);
  assert.equal(done.items[1].answers, "a");
  const rated = [["feedback", { turn: "a", rating: "up" }], ["connected", null], ["feedback", { turn: "a", rating: "down" }]].reduce((v, [type, data]) => reduce(v, { type: String(type), data }), done);
  assert.deepEqual([rated.ratings, rated.items[1].rating], [{ a: "down" }, "down"]);
  const taken = reduce(rated, { type: "feedback", data: { turn: "a", rating: null } });
  assert.deepEqual([taken.ratings, taken.items[1].rating], [{}, undefined]);
});

test("what the operator tells everybody is no part of the conversation", () => {
  const told = view(open, ["notice", { text: "Back at noon." }], said("a", "1-1"), ["reset", { reason: "new_session" }]);
  assert.equal(told.banner, "Back at noon.");
  assert.equal(reduce(told, { type: "connected", data: null }).banner, null, "the next stream sends it again");
  assert.equal(reduce(told, { type: "notice", data: { text: null } }).banner, null);
});

/** @type {(() => void)[]} */
const ends = [];
after(() => ends.forEach((end) => end()));
/** A response that does not arrive before the tests are over. */
const never = () => new Promise((_, fail) => ends.push(() => fail(new Error("over"))));

/**
 * A relay with one visitor, which responds as a script says.
 * @param {(route: string, init: any) => any} script returns a status, a problem or a body, or a promise of one
 */
function relay(script) {
  /** @type {string[]} */
  const asked = [];
  /** @type {any} */
  const fetch = async (/** @type {URL} */ url, /** @type {any} */ init) => {
    const route = `${init.method} ${url.pathname.slice(1)}`;
    if (route === "POST v1/visitor") return Response.json({ token: "t", session: { status: "none", epoch: 0, agent_busy: false, last_event_id: null }, limits: {} });
    if (route === "GET v1/events") return new Response(new ReadableStream({ start: (c) => {
      c.enqueue(new TextEncoder().encode('event: session\ndata: {"status":"none","epoch":0}\n\n'));
      if (init.signal.aborted) return c.error(init.signal.reason);
      init.signal.addEventListener("abort", () => c.error(init.signal.reason));
    } }), { headers: { "content-type": "text/event-stream" } });
    asked.push(route);
    const answer = await script(route, init);
    if (answer instanceof Error) throw answer;
    return Response.json(answer, { status: answer.status ?? 202 });
  };
  return { asked, fetch };
}

test("a turn that waits at the relay is stopped there, and says that it was not sent", async () => {
  /** @type {(answer: any) => void} */
  let release = () => {};
  const held = new Promise((done) => {
    release = done;
  });
  const { fetch, asked } = relay((route) => (route === "POST v1/messages" ? held : (release({ status: 409, code: "turn_stopped" }), {})));
  const client = createRelayClient({ relay: "http://relay.test", fetch });
  const turn = client.send("hi");
  while (!asked.includes("POST v1/messages")) await new Promise((done) => setTimeout(done, 1));
  await turn.stop();
  assert.deepEqual(await turn.finished(), { reason: "stopped", text: "" });
  assert.deepEqual(asked, ["POST v1/messages", `POST v1/turns/${turn.key}/stop`]);
  assert.equal(client.messages.get().pending[0].state, "stopped");
  client.close();
});

test("a turn behind another is stopped without a word to the relay", async () => {
  const { fetch, asked } = relay(() => never());
  const client = createRelayClient({ relay: "http://relay.test", fetch });
  client.send("one");
  const two = client.send("two");
  await two.stop();
  assert.deepEqual(await two.finished(), { reason: "stopped", text: "" });
  assert.deepEqual(asked.filter((a) => a.includes("stop")), []);
  client.close();
});

test("a turn that is stopped or discarded while its challenge is solved is not sent again", async () => {
  for (const end of /** @type {const} */ (["stop", "discard"])) {
    const { fetch, asked } = relay((route) => (route === "POST v1/messages" ? { status: 428, code: "challenge_required", challenge: { algorithm: "SHA-256", salt: "s&", challenge: "0".repeat(64), signature: "x", maxnumber: 20_000 } } : { status: 404, code: "turn_unknown" }));
    const client = createRelayClient({ relay: "http://relay.test", fetch });
    const turn = client.send("hi");
    while (!asked.length) await new Promise((done) => setTimeout(done, 1));
    if (end === "stop") await turn.stop();
    else client.discard(turn.key);
    client.send("next");
    while (asked.filter((a) => a === "POST v1/messages").length < 2) await new Promise((done) => setTimeout(done, 1));
    assert.deepEqual(client.messages.get().pending.map((p) => [p.text, p.state === "stopped"]), end === "stop" ? [["hi", true], ["next", false]] : [["next", false]]);
    client.close();
  }
});

test("a stop aborts an upload in progress", async () => {
  const { fetch, asked } = relay(() => ({ status: 404, code: "turn_unknown" }));
  /** @type {AbortSignal[]} */
  const uploads = [];
  const client = new Client("http://relay.test/", new Storage("r", null), fetch);
  const file = { name: "a.txt", mime: "text/plain", data: new Uint8Array(9) };
  const post = (/** @type {any} */ _, /** @type {any} */ { signal }, /** @type {(share: number) => void} */ progress) => new Promise((__, fail) => {
    uploads.push(signal);
    progress(0.1);
    signal.addEventListener("abort", () => fail(new Error("cut")));
  });
  const files = { ...(await import("./attachments.js")), post };
  const conversation = new Conversation(client, client.storage, { onView() {}, onLink() {}, onVisitor() {} }, /** @type {any} */ ({ files: async () => files, delivery: () => import("./deliver.js") }), Stream);
  const turn = conversation.send("see", [file]);
  while (!uploads.length) await new Promise((done) => setTimeout(done, 1));
  await conversation.stop(turn);
  assert.equal(uploads[0].aborted, true);
  assert.deepEqual([uploads.length, conversation.view.pending[0].state], [1, "stopped"]);
  assert.deepEqual(asked, [`POST v1/turns/${turn}/stop`]);
  conversation.close();
});

test("what is sent while the conversation is being ended belongs to the next one", async () => {
  for (const how of /** @type {const} */ (["newConversation", "erase"])) {
    /** @type {(v?: unknown) => void} */
    let ended = () => {};
    const ending = new Promise((done) => (ended = done));
    let refused = 0;
    const { fetch, asked } = relay((route) => (route.startsWith("DELETE") ? ending.then(() => ({})) : refused++ ? {} : { status: 503, code: "session_booting", retry_after: 0 }));
    const client = createRelayClient({ relay: "http://relay.test", fetch });
    client.messages.subscribe(() => {});
    await new Promise((done) => setTimeout(done, 20));
    const done = client[how](0);
    await new Promise((after) => setTimeout(after, 5));
    client.send("the first of the new one");
    while (!refused) await new Promise((after) => setTimeout(after, 1));
    ended();
    await done;
    assert.deepEqual(client.messages.get().pending.map((p) => p.text), ["the first of the new one"]);
    while (refused < 2) await new Promise((after) => setTimeout(after, 1));
    assert.equal(asked.filter((a) => a === "POST v1/messages").length, 2, "it is sent again");
    client.close();
  }
});

test("a stop whose request fails is retried, and one that is refused is not", async () => {
  let attempts = 0;
  const { fetch } = relay((route) => (route === "POST v1/messages" ? never() : attempts++ ? {} : { status: 503, code: "draining", retry_after: 0 }));
  const client = createRelayClient({ relay: "http://relay.test", fetch });
  const turn = client.send("hi");
  await new Promise((done) => setTimeout(done, 20));
  await turn.stop();
  assert.equal(attempts, 2);
  client.close();

  const other = relay((route) => (route === "POST v1/messages" ? never() : { status: 403, code: "blocked" }));
  const blocked = createRelayClient({ relay: "http://relay.test", fetch: other.fetch });
  const mine = blocked.send("hi");
  await new Promise((done) => setTimeout(done, 20));
  await assert.rejects(mine.stop(), (err) => err instanceof Problem && err.code === "blocked");
  assert.equal(blocked.messages.get().pending[0].stopping, false);
  blocked.close();
});

test("a message is sent again with the challenge solved, and with the context that it began with", async () => {
  /** @type {any[]} */
  const sent = [];
  const { fetch } = relay((route, { headers, body }) => {
    sent.push({ solution: headers["relay-challenge"], key: headers["idempotency-key"], context: JSON.parse(body).context });
    // SHA-256 of "s&3"
    return sent.length > 1 ? {} : { status: 428, code: "challenge_required", challenge: { algorithm: "SHA-256", salt: "s&", challenge: "5ed2d946b61935917e597937dede4805396dccf380bed281a58633ee476f6d5b", signature: "x", maxnumber: 10 } };
  });
  const client = createRelayClient({ relay: "http://relay.test", fetch });
  let page = "one";
  client.setContext(() => ({ page }));
  const turn = client.send("hi");
  page = "two";
  while (sent.length < 2) await new Promise((done) => setTimeout(done, 1));
  assert.deepEqual(sent.map((s) => s.context), [{ page: "one" }, { page: "one" }]);
  assert.deepEqual(sent.map((s) => s.key), [turn.key, turn.key]);
  assert.equal(JSON.parse(atob(sent[1].solution)).number, 3);
  client.close();
});

test("a message whose context the relay does not take is sent without", async () => {
  /** @type {any[]} */
  const sent = [];
  const { fetch } = relay((_, { headers, body }) => {
    sent.push([headers["idempotency-key"], JSON.parse(body).context]);
    return sent.length > 1 ? {} : { status: 400, code: "bad_request", detail: "No context is taken here." };
  });
  const client = createRelayClient({ relay: "http://relay.test", fetch });
  const warn = console.warn;
  console.warn = () => {};
  client.setContext({ page: "one" });
  const { key } = client.send("hi");
  while (sent.length < 2) await new Promise((done) => setTimeout(done, 1));
  console.warn = warn;
  assert.deepEqual(sent, [[key, { page: "one" }], [key, undefined]]);
  client.close();
});

test("a refusal, a lost answer and a subscriber's mistake are three things", async () => {
  const { fetch } = relay(() => ({ status: 429, code: "turn_budget", retry_after: 7200 }));
  const client = createRelayClient({ relay: "http://relay.test", fetch });
  const log = console.error;
  console.error = () => {};
  client.messages.subscribe(() => {
    throw new Error("theirs");
  });
  const turn = client.send("hi");
  await assert.rejects(turn.finished(), (err) => err instanceof Problem && err.code === "turn_budget" && err.status === 429 && err.retryAfter === 7200);
  console.error = log;
  client.close();
  const lost = createRelayClient({ relay: "http://relay.test", fetch: async () => { throw new TypeError("no route"); } });
  await assert.rejects(lost.conversations(), (err) => err instanceof Problem && err.code === "unreachable" && err.status === 0);
  lost.close();
});

test("a turn is over when its message is discarded or its conversation goes away", () => {
  const shown = [open, said("a", "1-1"), ["text", { text: "Let", delta: true }]];
  const sent = ["pending", { turn: "a", state: "waiting" }];
  for (const [name, before, last, gone] of /** @type {[string, any[][], any[], boolean][]} */ ([
    ["discarded", [sent], ["dropped", { turn: "a" }], true],
    ["shown", [sent], said("a", "1-1"), false],
    ["the conversation ended", shown, ["session", { status: "ended", epoch: 1 }], true],
    ["another conversation", shown, ["session", { status: "running", epoch: 2 }], true],
    ["another visitor", shown, ["forget", { keepPending: false }], true],
    ["the next of another visitor", [open, said("a", "2-1")], ["forget", { keepPending: false }], true],
    ["sent again", shown, ["reset", { reason: "unknown_event_id" }], false],
    ["connected again", shown, ["connected", null], false],
  ])) {
    const where = track("a");
    let v = emptyView;
    for (const [type, data, id = null] of before) {
      v = reduce(v, { type, data, id });
      assert.equal(where(v).gone, false, name);
    }
    const [type, data, id = null] = last;
    assert.equal(where(reduce(v, { type, data, id })).gone, gone, name);
  }
});

for (const [how, leave] of /** @type {[string, (client: any, key: string) => any][]} */ ([
  ["discarded", (client, key) => client.discard(key)],
  ["forgotten", (client) => client.logout()],
  ["followed by another conversation", (client) => client.newConversation()],
])) {
  test(`waiting for the end of a turn, and useChat, come to an end when it is ${how}`, async () => {
    const { fetch, asked } = relay((route) => (route === "POST v1/messages" ? never() : {}));
    const client = createRelayClient({ relay: "http://relay.test", fetch });
    const turn = client.send("hi");
    const end = turn.finished();
    const answer = (await new RelayChatTransport(client).sendMessages({ messages: [{ parts: [{ type: "text", text: "and" }] }] })).getReader();
    while (!asked.includes("POST v1/messages")) await new Promise((done) => setTimeout(done, 1));
    for (const { turn: key } of client.messages.get().pending) await leave(client, key);
    await assert.rejects(end, (err) => err instanceof Problem && err.code === "aborted");
    const chunks = [];
    for (let next = await answer.read(); !next.done; next = await answer.read()) chunks.push(next.value.type);
    assert.deepEqual(chunks, ["start", "abort"]);
    client.close();
  });
}
