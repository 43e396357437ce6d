// A website that identifies its visitors: Chromium, the relay, the scripted control
// plane, and tokens signed like a website's server does.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, test } from "node:test";
import { startSite } from "./fake-relay.mjs";
import { eventually, launch, open, say, settled, shows, startPlane, startRelay, transcript } from "./helpers.mjs";

const secret = "a-secret-of-the-website-for-its-own-tokens";

/** A JWT for sub that is valid for a number of seconds. */
function jwt(sub, seconds = 600) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub, exp: Math.floor(Date.now() / 1000) + seconds })}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

let browser;
let plane;
let site;
let relay;
before(async () => {
  browser = await launch();
  plane = await startPlane();
  site = await startSite("");
  relay = await startRelay("serve", { ...plane.env, RELAY_IDENTITY_KEY: secret, RELAY_ALLOWED_ORIGINS: site.url.slice(0, -1) });
  site.html = `<!doctype html><title>A shop</title><relay-chat mode="inline" style="height:500px"></relay-chat><script async src="${relay.url}widget.js"></script>`;
});
after(async () => {
  await browser.close();
  await relay.stop();
  await site.stop();
  await plane.stop();
});

const identify = (page, token) => page.evaluate((t) => window.RelayChat.identify(t).then(() => "", (err) => err.code ?? String(err)), token);

for (const [where, url, who] of [["the relay's own page, by cookie", () => relay.url, "ann"], ["another website's, by bearer token", () => site.url, "eve"]]) {
  test(`one who signs in finds the conversation on every device, and takes nothing along: ${where}`, async () => {
    const [phone, laptop] = [await browser.newContext(), await browser.newContext()];
    const one = await open(phone, url());
    await say(one, "before I signed in");
    await settled(one);

    assert.equal(await identify(one, jwt(who)), "");
    await shows(one, [], "what was said before is gone");
    await say(one, `I am ${who}`);
    await settled(one);
    const said = await transcript(one);
    assert.equal(said[0], `user: I am ${who}`);

    const two = await open(laptop, url());
    assert.equal(await identify(two, jwt(who, -600)), "identity_invalid", "an old token is refused");
    assert.equal(await identify(two, jwt(who)), "");
    await shows(two, said, "the other device");

    await one.getByRole("button", { name: "More", exact: true }).click();
    await one.getByRole("menuitem", { name: "Earlier conversations" }).click();
    await eventually(async () => assert.equal(await one.getByRole("dialog", { name: "Earlier conversations" }).count(), 1));
    await one.evaluate(() => window.RelayChat.logout());
    await shows(one, [], "after the logout");
    assert.equal(await one.getByRole("dialog", { name: "Earlier conversations" }).count(), 0, "nothing of the person is left");
    await say(two, "still here");
    await settled(two, 2);

    assert.equal(await identify(two, jwt(`not ${who}`)), "");
    await shows(two, [], "another one on the same browser");
    assert.equal(await identify(one, jwt(who)), "");
    await eventually(async () => assert.equal((await transcript(one)).filter((t) => t.startsWith("user:")).join(), `user: I am ${who},user: still here`, "back again"));
    for (const page of [one, two]) assert.deepEqual(page.wrong, []);
    await phone.close();
    await laptop.close();
  });
}

test("a logout in one tab also ends the identity in another", async () => {
  const context = await browser.newContext();
  const one = await open(context, site.url);
  const two = await open(context, site.url);
  for (const page of [one, two]) assert.equal(await identify(page, jwt("kim")), "");
  await say(two, "I am kim");
  await settled(two);
  await one.evaluate(() => window.RelayChat.logout());
  await shows(one, [], "the tab that logged out");
  await shows(two, [], "the other tab");
  await say(two, "who am I?");
  await settled(two);
  const next = await open(context, site.url); // this page does not identify its visitor
  await eventually(async () => assert.deepEqual((await transcript(next)).filter((t) => t.startsWith("user:")), ["user: who am I?"]));
  for (const page of [one, two, next]) assert.deepEqual(page.wrong, []);
  await context.close();
});
