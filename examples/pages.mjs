// Opens the examples' pages in Chromium and uses them like a visitor.
import assert from "node:assert/strict";
import { launch } from "../web/test/helpers.mjs";

const { PLAIN, REACT, VUE, IDENTITY, SITES } = process.env;
const patience = { timeout: 120_000 };
const browser = await launch();

/** Opens a page in a new browser profile. */
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

  const vue = await open(VUE);
  const ask = async (text) => {
    await vue.locator("button:text-is('Stop'):disabled").waitFor({ state: "attached" });
    await vue.getByLabel("Message").fill(text);
    await vue.keyboard.press("Enter");
  };
  await ask("question");
  await vue.getByRole("button", { name: "A shop" }).click();
  await vue.waitForSelector("[data-role=agent] >> text=“A shop” – noted");
  await ask("count");
  await vue.waitForSelector("[data-role=user] >> text=count");
  await vue.getByRole("button", { name: "Stop" }).click();
  await vue.waitForSelector("[role=status] >> text=stopped");
  await vue.getByLabel("Files").setInputFiles({ name: "note.txt", mimeType: "text/plain", buffer: Buffer.from("hello") });
  await ask("Hello from Vue");
  await vue.waitForSelector("[data-role=agent] >> text=sent note.txt");
  await vue.reload();
  await vue.waitForSelector("[data-role=user] >> text=Hello from Vue");
  await vue.waitForSelector("[data-role=agent] >> text=sent note.txt");

  const one = await open(IDENTITY);
  await one.evaluate(() => window.RelayChat.push(["open", { message: "It is me", send: true }]));
  await one.waitForSelector("relay-chat >> text=It is me");
  const other = await open(IDENTITY);
  await other.evaluate(() => window.RelayChat.push(["open", {}]));
  await other.waitForSelector("relay-chat >> text=It is me");

  // Two sites on one page: each has its own visitor, and neither sees the other's messages.
  const sites = await open(SITES);
  const [first, second] = [sites.locator("relay-chat"), sites.locator("relay-chat-2")];
  for (const [chat, words] of [[first, "Apples"], [second, "Pears"]]) {
    await chat.locator("button.launcher").click();
    await chat.locator("textarea").fill(words);
    await chat.locator("textarea").press("Enter");
    await chat.locator("[data-role=agent] .text").first().waitFor();
  }
  const titles = [await first.locator("h2").first().textContent(), await second.locator("h2").first().textContent()];
  assert.deepEqual(titles.sort(), ["Ask sales", "Ask support"]);
  assert.equal(await first.locator("text=Pears").count(), 0);
  assert.equal(await second.locator("text=Apples").count(), 0);
  const tokens = await sites.evaluate(() => Object.entries(localStorage).filter(([key]) => key.endsWith(":token")));
  assert.equal(tokens.length, 2);
  for (const name of ["support", "sales"]) assert.ok(tokens.some(([key]) => key.includes(`/s/${name}/`)), name);
  assert.notEqual(tokens[0][1], tokens[1][1]);
  if (process.env.RELAY_SHOTS) await sites.screenshot({ path: `${process.env.RELAY_SHOTS}/sites.png` });
  await sites.reload();
  // Either script may load first now; both chats are open, as before.
  for (const words of ["Apples", "Pears"]) await sites.locator("relay-chat, relay-chat-2").locator(`text=${words}`).first().waitFor(patience);
} finally {
  await browser.close();
}
