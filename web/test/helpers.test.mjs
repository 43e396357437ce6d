// Tests of the test helpers.
import assert from "node:assert/strict";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { features } from "./helpers.mjs";

test("Chromium does without all that Playwright has it do without", async () => {
  const failed = await chromium.launch({ executablePath: process.execPath }).then(() => "", String); // node does not support such flags, and the error names them
  const [, theirs] = /--disable-features=(\S+)/.exec(failed);
  assert.deepEqual(theirs.split(",").filter((name) => !features.includes(name)), []);
});
