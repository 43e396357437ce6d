// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { Storage } from "./storage.js";

/** A storage area. */
function area() {
  const map = new Map();
  return { map, getItem: (/** @type {string} */ k) => map.get(k) ?? null, setItem: (/** @type {string} */ k, /** @type {string} */ v) => void map.set(k, v), removeItem: (/** @type {string} */ k) => void map.delete(k) };
}

test("nothing is kept before the visitor agreed, and all that was said after", () => {
  const kept = area();
  const storage = new Storage("r", kept);
  storage.set("draft", "typed before the relay was asked");
  storage.hold();
  assert.equal(kept.map.size, 0, "what a new visitor typed is taken away");
  storage.set("token", "t");
  assert.equal(kept.map.size, 0);
  assert.deepEqual([storage.get("token"), storage.get("draft")], ["t", "typed before the relay was asked"]);
  storage.set("draft", null);
  storage.release();
  assert.deepEqual([...kept.map], [["relay-chat:r:token", "t"]]);
});

test("tabs whose token cannot be stored are separate visitors", () => {
  const full = new Storage("r");
  Object.assign(globalThis, { localStorage: { getItem: () => null, removeItem() {}, setItem() { throw new Error("full"); } } });
  try {
    assert.equal(full.shared, true);
    full.set("token", "t");
    assert.equal(full.get("token"), "t");
    assert.equal(full.shared, false);
  } finally {
    Reflect.deleteProperty(globalThis, "localStorage");
  }
});

test("a returning visitor who is asked to agree loses nothing by leaving", () => {
  const kept = area();
  const before = new Storage("r", kept);
  before.set("token", "t");
  before.set("draft", "half a");
  const asked = new Storage("r", kept);
  asked.hold();
  assert.deepEqual([asked.get("token"), asked.get("draft")], ["t", "half a"]);
  asked.set("draft", "half a question");
  const next = new Storage("r", kept);
  assert.deepEqual([next.get("token"), next.get("draft")], ["t", "half a"]);
  asked.release();
  assert.equal(next.get("draft"), "half a question");
});

test("what a returning visitor removes before agreeing is gone", () => {
  const kept = area();
  const before = new Storage("r", kept);
  for (const key of ["token", "outbox"]) before.set(key, "x");
  const asked = new Storage("r", kept);
  asked.hold();
  for (const key of ["token", "outbox"]) asked.set(key, null);
  assert.equal(kept.map.size, 0);
  asked.release();
  assert.equal(kept.map.size, 0);
});

test("a tab that holds sees what another has kept", () => {
  const kept = area();
  const one = new Storage("r", kept);
  const two = new Storage("r", kept);
  for (const s of [one, two]) s.hold();
  one.set("token", "one");
  two.set("token", "two");
  one.release();
  assert.deepEqual([two.get("token"), two.elsewhere("token")], ["two", "one"]);
  two.set("token", null);
  assert.equal(one.get("token"), "one", "it is another visitor's");
});

test("what can't be kept is kept in memory", () => {
  const full = { ...area(), setItem: () => { throw new Error("full"); } };
  for (const storage of [new Storage("r", full), new Storage("r", null), new Storage("r")]) {
    storage.set("token", "t");
    assert.equal(storage.get("token"), "t");
    storage.set("token", null);
    assert.equal(storage.get("token"), null);
  }
});
