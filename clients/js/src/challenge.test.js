// @ts-check
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { prepare, solve, take } from "./challenge.js";

/** @param {string} salt @param {number} number */
const ask = (salt, number) => ({ algorithm: "SHA-256", salt, challenge: createHash("sha256").update(salt + number).digest("hex"), signature: "s", maxnumber: 20_000 });

test("a challenge is solved, however long its salt is", async () => {
  for (const length of [1, 12, 50, 51, 52, 55, 56, 63, 64, 65, 119, 130, 200]) {
    const salt = "s".repeat(length) + "&";
    for (const number of [0, 7, 1234]) {
      const given = ask(salt, number);
      const { number: found, ...rest } = JSON.parse(atob(await solve(given)));
      assert.equal(found, number, `salt of ${length}`);
      assert.deepEqual(rest, { algorithm: "SHA-256", challenge: given.challenge, salt, signature: "s" });
    }
  }
});

test("an unsolvable challenge and an unwanted one are given up", async () => {
  await assert.rejects(solve({ ...ask("s&", 5), maxnumber: 4 }), /no solution/);
  await assert.rejects(solve({ ...ask("s&", 1), algorithm: "SHA-512" }), /SHA-512/);
  await assert.rejects(solve({ ...ask("s&", 1), challenge: "0".repeat(64), maxnumber: 1e12 }, () => true), /given up/);
});

test("the page has its turn after every ten milliseconds of solving", async (t) => {
  let now = 0;
  t.mock.method(performance, "now", () => (now += 2));
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  let slices = 0;
  const unsolvable = { ...ask("s&", 1), challenge: "0".repeat(64), maxnumber: 20_000 };
  await assert.rejects(solve(unsolvable, () => (slices++, false)), /no solution/);
  clearInterval(timer);
  assert.equal(slices, Math.floor(20_001 / (5 * 64)), "of five times 64 numbers, 2 ms each");
  assert.ok(turns > 1, `${turns} turns`);
});

/** @param {any} [challenge] @returns {any} an outbox with this challenge in the relay's introduction */
const box = (challenge) => ({ closed: false, client: { introduction: { challenge } } });
/** @param {number} seconds @param {number} number */
const until = (seconds, number) => ask(`s?expires=${Math.floor(Date.now() / 1000) + seconds}&`, number);
/** @param {string} solution */
const numberOf = (solution) => (solution ? JSON.parse(atob(solution)).number : "");

test("what the relay asks for is solved ahead, and is one turn's", async () => {
  const mine = box(until(600, 7));
  prepare(mine);
  const first = take(mine); // before it is solved
  assert.equal(await take(mine), "", "another turn at the same time");
  assert.equal(numberOf(await first), 7);
  prepare(mine);
  assert.equal(await take(mine), "", "and the next");
  mine.client.introduction = { challenge: until(600, 9) };
  assert.equal(numberOf(await take(mine)), 9, "introduced again");
});

test("nothing is solved ahead that was not asked, is too old, or cannot be", async () => {
  for (const asked of [undefined, until(10, 7), until(-600, 7), ask("s&", 7), { ...until(600, 7), maxnumber: 3 }]) {
    assert.equal(await take(box(asked)), "");
  }
  assert.equal(await take(/** @type {any} */ ({ client: { introduction: null } })), "");
});
