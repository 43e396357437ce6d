// Runs shared tests in the requested engine.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { engines } from "./engines.mjs";
import { FakeRelay, startSite } from "./fake-relay.mjs";
import { eventually } from "./helpers.mjs";

const all = Object.keys(engines);

/** @type {{name: string, where: string[], run: (at: any) => Promise<void>}[]} */
const tests = [];
/** Adds a test for every engine. */
export const everywhere = (name, run) => tests.push({ name, where: all, run });
/** Adds a test for some engines. */
export const only = (where, name, run) => tests.push({ name, where, run });

/** Runs the tests for one engine. */
export function run(engine) {
  let browser;
  before(async () => {
    browser = await engines[engine]();
  });
  after(() => browser?.close());
  for (const { name, where, run } of tests) {
    if (!where.includes(engine)) continue;
    test(`${engine}: ${name}`, async () => {
      const relay = await new FakeRelay().start();
      const opened = [];
      const sites = [];
      const at = {
        relay,
        tag: (more = "") => `<script async src="${relay.url}widget.js" ${more}></script>`,
        async site(body, headers) {
          const site = await startSite(`<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Site</title>${body}`, headers);
          sites.push(site);
          return site;
        },
        async visit(url) {
          const page = widget(await browser.newPage());
          opened.push(page);
          await page.goto(url);
          return page;
        },
      };
      try {
        await run(at);
      } finally {
        for (const page of opened) await page.close();
        for (const site of sites) await site.stop();
        await relay.stop();
      }
    });
  }
}

/** A page with the widget, and a visitor's actions in it. */
function widget(page) {
  /** Calls fn with the widget's element for a selector, null if there is none. */
  const the = (selector, fn, ...args) => page.evaluate(`async (selector, ...args) => (${fn})(document.querySelector("relay-chat")?.shadowRoot?.querySelector(selector) ?? null, ...args)`, selector, ...args);
  return Object.assign(page, {
    the,
    text: (selector) => the(selector, (el) => el?.textContent ?? null),
    focused: (selector) => the(selector, (el) => !!el && el.getRootNode().activeElement === el),
    async click(selector) {
      const at = await eventually(async () => {
        const box = await the(selector, (el) => {
          const { x, y, width, height } = el?.getBoundingClientRect() ?? {};
          return width && height ? [x + width / 2, y + height / 2] : null;
        });
        assert.ok(box, `${selector} is not there`);
        return box;
      });
      await page.tap(...at);
    },
    async say(text) {
      await eventually(async () => assert.equal(await the("textarea", (el) => (el?.focus(), el?.getRootNode().activeElement === el)), true));
      await page.type(text);
      await page.press("Enter");
    },
    transcript: () =>
      page.evaluate(() =>
        [...(document.querySelector("relay-chat")?.shadowRoot?.querySelectorAll("article[data-role]") ?? [])].map((a) => `${a.dataset.role}: ${a.querySelector(".text, .bubble").textContent.trim()}${a.querySelector(".file") ? ` [${a.querySelector(".file").textContent}]` : ""}`),
      ),
    shows: (want) => eventually(async () => assert.deepEqual(await page.transcript(), want)),
  });
}
