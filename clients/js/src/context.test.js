// @ts-check
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { fit } from "./context.js";

test("what the relay would refuse of a context is left out, with one warning", () => {
  const warn = mock.method(console, "warn", () => {});
  const good = { page: "pricing", items: 3, member: true, "a.b-c_D": "" };
  assert.deepEqual(fit(good), good);
  assert.equal(warn.mock.callCount(), 0);
  assert.deepEqual(fit({ ...good, "a b": 1, list: [1], none: null, "": 1, nan: NaN, long: "é".repeat(513), unset: undefined }), good);
  assert.deepEqual(fit({ edge: "é".repeat(512) }), { edge: "é".repeat(512) });
  assert.equal(Object.keys(fit(Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`n${n}`, n]))) ?? {}).length, 32);
  assert.equal(warn.mock.callCount(), 1);
  assert.match(String(warn.mock.calls[0].arguments[0]), /a b, list, none/);
});

test("a context is as large as the relay takes it, to the byte", () => {
  const most = 100;
  for (let n = 1; n < 90; n++) {
    const out = fit({ a: "x".repeat(n), b: "é" }, most);
    assert.ok(new TextEncoder().encode(JSON.stringify(out)).length <= most);
    assert.equal("b" in (out ?? {}), new TextEncoder().encode(JSON.stringify({ a: "x".repeat(n), b: "é" })).length <= most, `${n}`);
  }
  assert.equal(fit({ a: 1 }, 0), undefined, "a relay that takes none is sent none");
  assert.equal(fit(undefined), undefined);
  assert.deepEqual(fit(null), {});
});
