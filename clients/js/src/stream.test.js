// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { Stream } from "./stream.js";

const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
const soon = () => new Promise((done) => setTimeout(done, 5));

for (const when of ["while it reads", "when it is told that the stream is open"]) {
  test(`a stream ends when it is stopped ${when}, though its read does not`, async () => {
    const before = timers();
    // As sometimes in Node 20: the abort of the request does not reach its body.
    const body = new ReadableStream({ pull: () => new Promise(() => {}) });
    const client = { call: async () => new Response(body, { headers: { "content-type": "text/event-stream" } }) };
    /** @type {string[]} */
    const states = [];
    const stream = new Stream(/** @type {any} */ (client), {
      lastEventId: () => null, onEvent: () => {}, view: () => /** @type {any} */ ({}), onView: () => {},
      onOpen: () => void (when !== "while it reads" && stream.stop()),
      onState: ({ state }) => void states.push(state),
    });
    stream.start();
    while (!states.includes("open")) await soon();
    stream.stop();
    for (let n = 0; n < 200 && timers() > before; n++) await soon();
    assert.equal(timers(), before, "nothing of it goes on");
    assert.equal(states.at(-1), "idle");
  });
}

test("a stream that is stopped and started again has one connection, which the next stop closes", async () => {
  /** @type {AbortSignal[]} */
  const opened = [];
  const client = {
    call: (/** @type {string} */ _, /** @type {string} */ __, /** @type {{signal: AbortSignal}} */ { signal }) => {
      opened.push(signal);
      return new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason)));
    },
  };
  const stream = new Stream(/** @type {any} */ (client), {
    lastEventId: () => null, onEvent: () => {}, view: () => /** @type {any} */ ({}), onView: () => {}, onOpen: () => {}, onState: () => {},
  });
  stream.start();
  for (let n = 0; n < 3; n++) {
    await soon();
    stream.stop();
    stream.start();
  }
  await soon();
  assert.deepEqual(opened.map((signal) => signal.aborted), [true, true, true, false]);
  stream.restart();
  await soon();
  assert.deepEqual(opened.map((signal) => signal.aborted), [true, true, true, true, false]);
  stream.stop();
  assert.equal(opened.at(-1)?.aborted, true);
});
