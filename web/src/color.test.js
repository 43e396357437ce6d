import assert from "node:assert/strict";
import { test } from "node:test";
import { contrast, inkOn, readable } from "./color.js";

test("any accent gives text that reads", () => {
  for (let n = 0; n < 4096; n++) {
    const c = [(n >> 8) * 17, ((n >> 4) & 15) * 17, (n & 15) * 17];
    assert.ok(contrast(inkOn(c), c) >= 4.5, `ink on ${c}: ${contrast(inkOn(c), c)}`);
    for (const ground of [[255, 255, 255], [24, 26, 30]]) {
      const got = contrast(readable(c, ground, 4.6), ground);
      assert.ok(got >= 4.6, `${c} on ${ground}: ${got}`);
    }
  }
});
