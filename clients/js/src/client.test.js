// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, Problem } from "./client.js";
import { createRelayClient } from "./index.js";
import { Storage } from "./storage.js";

/** @param {string} body @param {Record<string, string>} [headers] */
async function read(body, headers = {}) {
  const { code, status, detail, retryAfter } = await Problem.from(new Response(body, { status: 503, headers }));
  return { code, status, detail, retryAfter };
}

test("a refusal is read whatever it is written in", async () => {
  const nothing = { code: "http_503", status: 503, detail: "", retryAfter: null };
  for (const body of ["", "<h1>Bad gateway</h1>", "null", "[]", '"down"', "{"]) assert.deepEqual(await read(body), nothing, body);
  const told = '{"code":"at_capacity","detail":"Full.","retry_after":7}';
  assert.deepEqual(await read(told), { code: "at_capacity", status: 503, detail: "Full.", retryAfter: 7 });
  assert.equal((await read(told, { "retry-after": "3" })).retryAfter, 3, "the header is a proxy's last word");
  assert.equal((await read(told, { "retry-after": "Wed, 21 Oct 2037 07:28:00 GMT" })).retryAfter, 7);
});

test("calls under way that are refused for the old token do not cost the new one", async () => {
  let minted = 0;
  let known = "";
  /** @type {((v: unknown) => void)[]} */
  const late = [];
  const fetch = async (/** @type {URL} */ url, /** @type {any} */ { headers }) => {
    if (url.pathname === "/v1/visitor") return Response.json({ token: (known = `t${++minted}`) });
    const token = headers.authorization?.slice("Bearer ".length);
    const good = token === known;
    if (!good && url.pathname !== "/v1/first") await new Promise((done) => late.push(done));
    return good ? Response.json({}) : Response.json({ code: "visitor_unknown" }, { status: 401 });
  };
  const client = new Client("http://relay.example/", new Storage("r", null), /** @type {any} */ (fetch));
  await client.meet();
  known = ""; // the relay no longer knows the visitor
  const calls = ["v1/second", "v1/third"].map((path) => client.call("GET", path));
  await client.call("GET", "v1/first");
  assert.equal(minted, 2);
  while (late.length < 2) await new Promise((done) => setTimeout(done, 1));
  for (const go of late) go(null);
  await Promise.all(calls);
  assert.equal(minted, 2, "the token that the first of them got is good for all");
});

test("a visitor who logs out is forgotten here although the relay is not reached", async () => {
  const kept = new Map();
  const area = { getItem: (/** @type {string} */ k) => kept.get(k) ?? null, setItem: (/** @type {string} */ k, /** @type {string} */ v) => kept.set(k, v), removeItem: (/** @type {string} */ k) => kept.delete(k) };
  const fetch = async (/** @type {URL} */ url, /** @type {any} */ { method }) => {
    if (url.pathname !== "/v1/visitor" || method === "DELETE") throw new TypeError("no network");
    return Response.json({ token: "t" });
  };
  const client = createRelayClient({ relay: "http://relay.example/", storage: area, fetch: /** @type {any} */ (fetch) });
  await client.newConversation().catch(() => {});
  assert.deepEqual([...kept.values()], ["t"]);
  await assert.rejects(client.logout(), { code: "unreachable" });
  client.close();
  assert.deepEqual([...kept.keys()].map((key) => key.replace(/.*:/, "")), ["logout"]);
});

test("a logout in one tab ends the identity that another tab has", async () => {
  const kept = new Map();
  const area = { getItem: (/** @type {string} */ k) => kept.get(k) ?? null, setItem: (/** @type {string} */ k, /** @type {string} */ v) => kept.set(k, v), removeItem: (/** @type {string} */ k) => kept.delete(k) };
  /** @type {any[]} */
  const named = [];
  let known = "";
  const fetch = async (/** @type {URL} */ url, /** @type {any} */ { method, headers, body }) => {
    if (url.pathname === "/v1/visitor" && method === "POST") {
      named.push(JSON.parse(body).identity);
      return Response.json({ token: (known = `t${named.length}`) });
    }
    const good = headers.authorization === `Bearer ${known}`;
    if (method === "DELETE") known = "";
    return good ? Response.json({}) : Response.json({ code: "visitor_unknown" }, { status: 401 });
  };
  const tab = () => createRelayClient({ relay: "http://relay.example/", storage: area, fetch: /** @type {any} */ (fetch), identity: () => "ann" });
  const one = tab();
  const two = tab();
  await one.conversations();
  await two.conversations();
  await one.logout();
  await two.conversations();
  assert.deepEqual(named, ["ann", "ann", undefined], "the person is not signed in again");
  await two.identify("bob");
  assert.equal(named.at(-1), "bob");
  one.close();
  two.close();
});

test("what is sent right after an identity is sent as that person", async () => {
  /** @type {string[]} */
  const calls = [];
  const fetch = async (/** @type {URL} */ url, /** @type {any} */ { method, body }) => {
    calls.push(`${method} ${url.pathname} ${JSON.parse(body ?? "{}").identity ?? ""}`);
    return Response.json({ token: "t", turn: "k" }, { status: url.pathname === "/v1/visitor" ? 200 : 202 });
  };
  const client = createRelayClient({ relay: "http://relay.example/", fetch: /** @type {any} */ (fetch) });
  const identified = client.identify("ann");
  client.send("hello");
  await identified;
  while (!calls.some((call) => call.startsWith("POST /v1/messages"))) await new Promise((done) => setTimeout(done, 1));
  client.close();
  const sent = calls.findIndex((call) => call.startsWith("POST /v1/messages"));
  assert.deepEqual(calls.slice(0, sent).filter((call) => call.startsWith("POST /v1/visitor")), ["POST /v1/visitor ann"]);
});
