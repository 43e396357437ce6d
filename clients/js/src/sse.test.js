import assert from "node:assert/strict";
import { test } from "node:test";
import { Decoder } from "./sse.js";

function decode(bytes, cut) {
  const frames = [];
  const retries = [];
  const decoder = new Decoder((f) => frames.push(f), (ms) => retries.push(ms));
  for (let at = 0; at < bytes.length; ) {
    const n = cut();
    decoder.push(bytes.subarray(at, at + n));
    at += n;
  }
  return { frames, retries };
}

const stream = new TextEncoder().encode(
  ": hello\r\nretry: 1500\r\n\r\nid: 1-1\nevent: text\ndata: {\"a\":\ndata:  1}\n\ndata: 日本😀\r\rid\ndata\n\nevent: lonely\n\nretry: x\nid: a\0b\ndata: z\nunknown: y\n\ndata: cut off",
);
const frames = [
  { event: "text", data: '{"a":\n 1}', id: "1-1" },
  { event: "message", data: "日本😀", id: null },
  { event: "message", data: "", id: "" },
  { event: "message", data: "z", id: null },
];

test("frames come out whole, whatever the pieces", () => {
  let seed = 1;
  const random = (n) => ((seed = (seed * 48271) % 2147483647) % n) + 1;
  for (let run = 0; run < 500; run++) {
    const max = random(12);
    const got = decode(stream, () => random(max));
    assert.deepEqual(got.frames, frames);
    assert.deepEqual(got.retries, [1500]);
  }
});

// A relay ends each frame with the id, and sends no empty line after anything else.
test("fields may come in any order, comments and retry without an empty line", () => {
  const text = ': hello\nretry: 1500\nevent: session\ndata: {}\n\n:\nevent: text\ndata: {"a":1}\nid: 1-1\n\n:\nretry: 9000\n';
  for (const size of [1, 7, 1000]) {
    const got = decode(new TextEncoder().encode(text), () => size);
    assert.deepEqual(got.frames, [{ event: "session", data: "{}", id: null }, { event: "text", data: '{"a":1}', id: "1-1" }]);
    assert.deepEqual(got.retries, [1500, 9000]);
  }
});

test("an event that is too large is skipped once, with its place", () => {
  const bytes = (text) => new TextEncoder().encode(text);
  const large = "漢".repeat(1 << 20);
  for (const [name, event, id] of [
    ["in one line", `id: 1-2\nevent: text\ndata: "${large.repeat(5)}"\n\n`, "1-2"],
    ["in many lines", `id: 1-2\nevent: text\n${`data: ${large}\n`.repeat(5)}\n`, "1-2"],
    ["with its id behind", `event: text\ndata: ${large.repeat(5)}\nid: 1-2\n\n`, "1-2"],
    ["without an id", `event: text\r\ndata: ${large.repeat(5)}\r\n\r\n`, null],
    ["in a comment", `id: 1-2\n: ${large.repeat(5)}\ndata: {}\n\n`, "1-2"],
  ]) {
    for (const cut of [4096, 1 << 24]) {
      const got = decode(bytes(`id: 1-1\ndata: 1\n\n${event}id: 1-3\ndata: 3\n\n`), () => cut).frames;
      assert.deepEqual(got.map((f) => f.event), ["message", name === "in a comment" ? "message" : "skipped", "message"], `${name}, ${cut} at a time`);
      assert.deepEqual(got.map((f) => f.id), ["1-1", id, "1-3"], name);
      assert.equal(got[2].data, "3", name);
      if (got[1].event === "skipped") assert.equal(got[1].data, "{}", name);
    }
  }
});

test("an event as large as may be is not skipped", () => {
  const [frame] = decode(new TextEncoder().encode(`data: ${"a".repeat(4 << 20)}\n\n`), () => 1 << 24).frames;
  assert.equal(frame.data.length, 4 << 20);
});
