// Tests of the test helpers.
import assert from "node:assert/strict";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { violations } from "./axe.mjs";
import { features, launch } from "./helpers.mjs";

test("Chromium does without all that Playwright has it do without", async () => {
  const failed = await chromium.launch({ executablePath: process.execPath }).then(() => "", String); // node does not support such flags, and the error names them
  const [, theirs] = /--disable-features=(\S+)/.exec(failed);
  assert.deepEqual(theirs.split(",").filter((name) => !features.includes(name)), []);
});

test("axe sees text as it is once it has faded in, in shadow roots too, and finds what stays too light", async (t) => {
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage();
  const fading = (color) => `<!doctype html><html lang="en"><title>Page</title><main><h1>Page</h1><div></div></main><script>
    document.querySelector("div").attachShadow({ mode: "open" }).innerHTML = "<style>@keyframes in{from{opacity:0}}p{color:${color};animation:in .3s .5s both}i{animation:in 1s infinite}</style><p>Text</p><i></i>";
  </script>`;
  await page.setContent(fading("#111"));
  assert.deepEqual(await violations(page), []);
  await page.setContent(fading("#bbb"));
  assert.match((await violations(page)).join(), /^color-contrast: [^;]*contrast of 1\.9/);
});
