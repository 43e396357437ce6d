// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { Problem } from "./client.js";

/** @param {string} body @param {Record<string, string>} [headers] */
async function read(body, headers = {}) {
  const { code, status, detail, retryAfter } = await Problem.from(new Response(body, { status: 503, headers }));
  return { code, status, detail, retryAfter };
}

test("a refusal is read whatever it is written in", async () => {
  const nothing = { code: "http_503", status: 503, detail: "", retryAfter: null };
  for (const body of ["", "<h1>Bad gateway</h1>", "null", "[]", '"down"', "{"]) assert.deepEqual(await read(body), nothing, body);
  const told = '{"code":"at_capacity","detail":"Full.","retry_after":7}';
  assert.deepEqual(await read(told), { code: "at_capacity", status: 503, detail: "Full.", retryAfter: 7 });
  assert.equal((await read(told, { "retry-after": "3" })).retryAfter, 3, "the header is a proxy's last word");
  assert.equal((await read(told, { "retry-after": "Wed, 21 Oct 2037 07:28:00 GMT" })).retryAfter, 7);
});
