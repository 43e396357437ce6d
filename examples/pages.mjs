// Opens the examples' pages in Chromium and uses them as a visitor would.
import assert from "node:assert/strict";
import { launch } from "../web/test/helpers.mjs";

const { PLAIN, REACT, IDENTITY } = process.env;
const patience = { timeout: 120_000 };
const browser = await launch();

/** Opens a page as a browser that was never here. */
async function open(url) {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(patience.timeout);
  page.on("pageerror", (err) => assert.fail(`${url}: ${err}`));
  await page.goto(url);
  return page;
}

try {
  const plain = await open(PLAIN);
  await plain.click("#ask");
  await plain.waitForSelector("#log >> text=user: Where is my order?");
  await plain.waitForSelector("#log >> text=agent: ");

  const react = await open(REACT);
  await react.fill("relay-chat textarea", "Hello from React");
  await react.keyboard.press("Enter");
  await react.waitForSelector("#last >> text=agent: ");
  await react.click("text=Hide the chat");
  await react.waitForSelector("relay-chat", { state: "detached" });
  await react.click("text=Show the chat");
  await react.waitForSelector("relay-chat >> text=Hello from React");

  const one = await open(IDENTITY);
  await one.evaluate(() => window.RelayChat.push(["open", { message: "It is me", send: true }]));
  await one.waitForSelector("relay-chat >> text=It is me");
  const other = await open(IDENTITY);
  await other.evaluate(() => window.RelayChat.push(["open", {}]));
  await other.waitForSelector("relay-chat >> text=It is me");
} finally {
  await browser.close();
}
