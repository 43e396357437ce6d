import assert from "node:assert/strict";
import { test } from "node:test";
import { Native, write } from "./native.js";

test("JSON is written as JSON.stringify does, whatever prototypes say of toJSON", () => {
  const values = [null, true, -1.5e300, NaN, "", '"\\\n\u2028\ud800', [], [[], [1, undefined, "a,b"]], {}, { a: undefined, "b c": [{ d: null }], e: { f: "g" } }];
  const want = values.map((v) => JSON.stringify(v));
  for (const { prototype } of [Array, Object, String]) {
    Object.assign(prototype, { toJSON: () => "spoilt", each: () => {} });
  }
  try {
    assert.equal(JSON.stringify([1]), '"spoilt"', "the prototypes do harm");
    assert.equal(values.map((v) => write(v)).join("\n"), want.join("\n"));
  } finally {
    for (const prototype of [Array.prototype, Object.prototype, String.prototype]) {
      delete prototype.toJSON;
      delete prototype.each;
    }
  }
});

test("the engine's Promise is found where the global is another", async () => {
  assert.equal(Native, Promise);
});
