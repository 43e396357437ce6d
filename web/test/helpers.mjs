// Shared code of the browser tests: processes, pages, and waiting for conditions.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

/** How the tests and make pages start Chromium. */
export const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/**
 * Features that Chromium runs without. Only the last list counts, so this one includes Playwright's. The ones
 * before it are the lists under the address bar: each window has one, open or not, and each is a process.
 * Together they cost as much as the page.
 */
export const features = [
  "WebUIOmniboxPopup", "WebUIOmniboxAimPopup",
  "AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades", "HttpsFirstBalancedModeAutoEnable", "LensOverlay", "MediaRouter", "PaintHolding",
  "ThirdPartyStoragePartitioning", "AvoidCorsURLLoaderRestartOnRedirect", "TcpPortRandomizationWin", "OptimizationHints", "NetworkTimeServiceQuerying", "AimEnabled",
  "PreconnectToSearch", "msForceBrowserSignIn", "msEdgeUpdateLaunchServicesPreferredVersion",
];

/** The browser that people use. */
const whole = process.env.CHROMIUM ?? "/usr/bin/chromium";
/** The same engine without windows, which takes less than half of the processor time, where it is installed. */
const headlessShell = "/usr/bin/chromium-headless-shell";
const shell = !process.env.CHROMIUM && existsSync(headlessShell) ? headlessShell : whole;

/** @param {any} [more] further options of playwright */
export function launch(more = {}) {
  return chromium.launch({ executablePath: shell, args: [...flags, `--disable-features=${features}`], ...more });
}

/** launch, with the whole browser: the shell has no back-forward cache, and does not partition storage. */
export function launchWhole(more = {}) {
  return launch({ executablePath: whole, ...more });
}

const packages = { RELAY_BINARY: "cmd/relay", RELAY_PLANE: "web/test/plane" };

/** The program named by a variable, as go test ./web sets it; otherwise one built for this process. */
function binary(name) {
  if (!process.env[name]) {
    const dir = mkdtempSync(join(tmpdir(), "relay-"));
    process.once("exit", () => rmSync(dir, { recursive: true, force: true }));
    process.env[name] = join(dir, "program");
    execFileSync("go", ["build", "-o", process.env[name], `./${packages[name]}`], { cwd: fileURLToPath(new URL("../..", import.meta.url)), stdio: "inherit" });
  }
  return process.env[name];
}

/** Lets Node exit if a test failed before it stopped this program: the relay is killed then, and the plane's input ends. */
function letGo(child) {
  child.unref();
  for (const pipe of child.stdio) pipe?.unref();
  process.once("exit", () => child.kill());
}

/** Starts a relay and resolves when it listens. */
export async function startRelay(command, env = {}) {
  const child = spawn(binary("RELAY_BINARY"), [command], {
    env: { PATH: process.env.PATH, HOME: tmpdir(), RELAY_ADDR: "127.0.0.1:0", RELAY_ADMIN_ADDR: "", RELAY_LOG_FORMAT: "json", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  const addr = await new Promise((done, fail) => {
    const read = (chunk) => {
      log += chunk;
      for (const line of log.split("\n")) {
        if (line.includes('"listening"')) done(JSON.parse(line).addr);
      }
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("exit", (code) => fail(new Error(`relay ended with ${code}: ${log}`)));
  });
  letGo(child);
  return {
    addr,
    url: `http://${addr}${env.RELAY_BASE_PATH ?? ""}/`,
    log: () => log,
    /** Kills it immediately. A normal shutdown takes five seconds, so that its streams do not all reconnect together. */
    async stop() {
      if (child.exitCode !== null || child.signalCode) return;
      const ended = once(child, "exit");
      child.ref();
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Starts the scripted control plane; returns the settings for a relay that uses it. */
export async function startPlane(env = {}) {
  const child = spawn(binary("RELAY_PLANE"), [], { env: { PATH: process.env.PATH, ...env }, stdio: ["pipe", "pipe", "inherit"] });
  const [line] = await once(createInterface(child.stdout), "line");
  letGo(child);
  const { url, key, agent } = JSON.parse(line);
  const dir = mkdtempSync(join(tmpdir(), "relay-"));
  return {
    env: { ANYFRAME_BASE_URL: url, ANYFRAME_API_KEY: key, ANYFRAME_AGENT_ID: String(agent), RELAY_STORE: `sqlite:${join(dir, "relay.db")}`, RELAY_RATE_MESSAGES: "off", RELAY_RATE_IP: "off", RELAY_RATE_SESSIONS: "off" },
    async stop() {
      const ended = once(child, "exit");
      child.ref();
      child.stdin.end();
      await ended;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Waits until a check passes; its last error is the failure. */
export async function eventually(check, ms = 60_000) {
  const stop = Date.now() + ms;
  for (;;) {
    try {
      return await check();
    } catch (err) {
      if (Date.now() > stop) throw err;
      await new Promise((done) => setTimeout(done, 40));
    }
  }
}

/** Opens a window. Of the tabs of one window, all but one get only one or two frames a second, which delays each click. */
async function newWindow(context) {
  const [other] = context.pages();
  if (!other) return context.newPage();
  const [tab, browser] = await Promise.all([context.newCDPSession(other), context.browser().newBrowserCDPSession()]);
  const { browserContextId } = (await tab.send("Target.getTargetInfo")).targetInfo;
  const opened = context.waitForEvent("page");
  await browser.send("Target.createTarget", { url: "about:blank", browserContextId, newWindow: true });
  await Promise.all([tab.detach(), browser.detach()]);
  return opened;
}

/** Opens a page that records everything that must not happen. */
export async function open(context, url) {
  const page = await newWindow(context);
  page.wrong = [];
  page.on("pageerror", (err) => page.wrong.push(err.stack));
  page.on("console", (m) => /Content.Security|TrustedTypes|Trusted Type/i.test(m.text()) && page.wrong.push(m.text()));
  page.on("dialog", (d) => {
    page.wrong.push(`dialog: ${d.message()}`);
    void d.dismiss();
  });
  await page.goto(url);
  return page;
}

/** Makes a page believe that its tab is hidden, or seen again. */
export const hide = (page, hidden) =>
  page.evaluate((h) => {
    Object.defineProperty(document, "hidden", { value: h, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);

export const composer = (page) => page.locator("relay-chat textarea");

export async function say(page, text) {
  await composer(page).fill(text);
  await composer(page).press("Enter");
}

/** Waits until the chat shows exactly these messages. */
export const shows = (page, want, why) => eventually(async () => assert.deepEqual(await transcript(page), want, why));

const shots = process.env.RELAY_SHOTS;

/** Takes a screenshot for manual review, into the folder RELAY_SHOTS, if it is set. A busy Chromium sometimes refuses the first attempt. */
export async function picture(page, name, options = {}) {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await eventually(() => page.screenshot({ path: join(shots, `${name.replace(/[^\w-]+/g, "-")}.png`), ...options }));
}

/** The transcript's content: each message with its author. */
export function transcript(page) {
  return page.locator("relay-chat article[data-role]").evaluateAll((all) => all.map((a) => `${a.dataset.role}: ${a.querySelector(".meta, .tools") ? [...a.children].filter((el) => !el.matches(".tools")).map((el) => el.textContent).join("").trim() : a.textContent.trim()}`));
}

/** Waits until the agent has answered and is idle. */
export function settled(page, turns = 1) {
  return eventually(async () => {
    const state = await page.evaluate(() => {
      const root = document.querySelector("relay-chat").shadowRoot;
      return { busy: !root.querySelector(".foot").hidden || root.querySelector(".agent.open") !== null, answers: root.querySelectorAll("[data-role=agent]").length };
    });
    assert.equal(state.busy, false, "still busy");
    assert.ok(state.answers >= turns, `${state.answers} answers`);
  }, 30_000);
}
