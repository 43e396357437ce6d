// The client in Node, against the relay and its scripted agent.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createRelayClient } from "@anyframe-relay/client";
import { startRelay } from "../../../web/test/helpers.mjs";

let relay;
before(async () => {
  relay = await startRelay("demo");
});
after(() => relay.stop());

test("a program talks to the agent, and goes on with the conversation later", async () => {
  const kept = new Map();
  const storage = { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => void kept.set(k, v), removeItem: (k) => void kept.delete(k) };
  const client = createRelayClient({ relay: relay.url, storage });
  const { reason, text } = await client.send("table").finished();
  assert.equal(reason, "done");
  assert.match(text, /\|/);
  client.close();
  const later = createRelayClient({ relay: relay.url, storage });
  const view = await new Promise((done) => later.messages.subscribe((v) => v.caughtUp && v.items.length && done(v)));
  assert.equal(view.items[0].text, "table");
  await later.newConversation();
  await later.logout();
  later.close();
});

test("what needs an answer gets one, and attachments arrive", async () => {
  const client = createRelayClient({ relay: relay.url, storage: null });
  client.messages.subscribe(({ items }) => {
    const asked = items.find((i) => i.kind === "question" && i.outcome === null && i.mine === undefined);
    if (asked) void client.respond(asked.id, { answer: asked.options[0].label });
  });
  assert.equal((await client.send("question").finished()).reason, "done");
  const turn = client.send("what is in it?", [{ name: "note.txt", mime: "text/plain", data: new TextEncoder().encode("hello") }]);
  await turn.finished();
  assert.deepEqual(client.messages.get().items.find((i) => i.turn === turn.key).attachments, [{ name: "note.txt", mime: "text/plain" }]);
  client.close();
});
