import assert from "node:assert/strict";
import { test } from "node:test";
import { Problem } from "./client.js";
import * as delivery from "./deliver.js";
import { Outbox } from "./outbox.js";

const { delay } = delivery;

/** Storage as the outbox uses it. */
class Memory {
  data = new Map();
  get(key) {
    return this.data.get(key) ?? null;
  }
  set(key, value) {
    if (value === null) this.data.delete(key);
    else this.data.set(key, value);
  }
}

/** A relay that responds from a list: a problem to refuse, null to accept. */
function relay(answers) {
  const sent = [];
  return {
    sent,
    limits: {},
    async call(_method, _path, { body, headers }) {
      sent.push({ key: headers["idempotency-key"], text: body.text });
      const answer = answers.shift() ?? null;
      if (answer) throw answer;
    },
  };
}

/** Runs until a turn is in a state. */
function until(log, turn, state) {
  return new Promise((done) => {
    log.watch = () => log.at(-1)?.turn === turn && log.at(-1).state === state && done();
    log.watch();
  });
}

function outbox(client, storage) {
  const log = [];
  const box = new Outbox(client, storage, (t) => {
    log.push(t);
    log.watch?.();
  }, { delivery: async () => delivery });
  return { box, log };
}

test("turns are sent in order, and forgotten when the relay has them", async () => {
  const client = relay([]);
  const storage = new Memory();
  const { box, log } = outbox(client, storage);
  const first = box.add("one");
  const second = box.add("two");
  assert.equal(JSON.parse(storage.get("outbox")).length, 2);
  await until(log, second, "sent");
  assert.deepEqual(client.sent, [{ key: first, text: "one" }, { key: second, text: "two" }]);
  assert.equal(storage.get("outbox"), null);
});

test("a refused turn is sent again with its key", async () => {
  const client = relay([new Problem("session_booting", 503, "", 60), null]);
  const { box, log } = outbox(client, new Memory());
  const turn = box.add("hi");
  await until(log, turn, "waiting");
  assert.equal(log.at(-1).code, "session_booting");
  box.retryNow();
  await until(log, turn, "sent");
  assert.deepEqual(client.sent.map((s) => s.key), [turn, turn]);
});

test("a reload sends what was left, with its key", async () => {
  const storage = new Memory();
  const before = outbox(relay([new Problem("rate_limited", 429, "", 60)]), storage);
  const turn = before.box.add("hi");
  await until(before.log, turn, "waiting");
  before.box.close();
  const client = relay([]);
  const after = outbox(client, storage);
  assert.equal(after.box.restore(), true);
  await until(after.log, turn, "sent");
  assert.deepEqual(client.sent, [{ key: turn, text: "hi" }]);
});

test("a turn that can never be taken is the visitor's again, and blocks no other", async () => {
  const client = relay([new Problem("message_too_large", 413, "Too large.", null)]);
  const { box, log } = outbox(client, new Memory());
  const bad = box.add("x");
  await until(log, bad, "failed");
  const good = box.add("y");
  await until(log, good, "sent");
  box.retry(bad);
  await until(log, bad, "sent");
  assert.deepEqual(client.sent.map((s) => s.key), [bad, good, bad]);
});

test("a turn that waits and is discarded does not hold up the next", async () => {
  const client = relay([new Problem("rate_limited", 429, "", 60)]);
  const { box, log } = outbox(client, new Memory());
  const first = box.add("one");
  await until(log, first, "waiting");
  box.drop(first);
  const second = box.add("two");
  await until(log, second, "sent");
  assert.deepEqual(client.sent.map((s) => s.text), ["one", "two"]);
});

test("how long to wait follows the relay's word, then patience ends", () => {
  const wait = (code, status, after, attempt, spent) => delay(new Problem(code, status, "", after), attempt, spent);
  assert.ok(wait("session_booting", 503, 5, 1, 0) >= 5000);
  assert.ok(wait("rate_limited", 429, 2, 9, 0) >= 2000);
  assert.ok(wait("unreachable", 0, null, 1, 0) > 0);
  assert.equal(wait("unreachable", 0, null, 5, 0), null);
  assert.equal(wait("session_booting", 503, 5, 1, 3600_000), null);
  assert.equal(wait("turn_conflict", 409, null, 1, 0), null);
  assert.ok(wait("upstream_failed", 502, null, 1, 0) > 0);
  assert.equal(wait("upstream_refused", 502, null, 1, 0), null);
});
