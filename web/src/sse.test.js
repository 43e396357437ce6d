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

test("a line without end is refused, not kept", () => {
  const decoder = new Decoder(() => {}, () => {});
  const piece = new Uint8Array(1 << 20).fill(97);
  assert.throws(() => {
    for (let n = 0; n < 8; n++) decoder.push(piece);
  }, /too large/);
});
