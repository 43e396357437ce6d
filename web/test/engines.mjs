// A common driver for all engines, for tests that are written once: Chromium with
// Playwright, Firefox with its own protocol, Marionette, WebKit with WebKitWebDriver. The
// last two use WebDriver's commands (W3C), so they need no library.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, launchWhole } from "./helpers.mjs";

/**
 * A browser. Its pages share storage; a test uses its own site to be isolated from
 * others.
 * @typedef {object} Browser
 * @property {() => Promise<Page>} newPage
 * @property {() => Promise<void>} close
 */

/**
 * @typedef {object} Page
 * @property {(url: string) => Promise<void>} goto
 * @property {(fn: Function, ...args: any[]) => Promise<any>} evaluate calls it in the page, with arguments that can be encoded as JSON
 * @property {(x: number, y: number) => Promise<void>} tap clicks like a mouse, at a position in the window
 * @property {(text: string) => Promise<void>} type presses one key after the other
 * @property {(key: keyof typeof keys, shift?: boolean) => Promise<void>} press
 * @property {() => Promise<void>} back
 * @property {() => Promise<void>} reload
 * @property {() => Promise<void>} close
 */

/** Keys without a character, with WebDriver's numbers. */
export const keys = { Enter: "\uE007", Escape: "\uE00C", Tab: "\uE004", F6: "\uE036" };

/** @returns {Promise<Browser>} */
async function chromium() {
  const browser = await launchWhole();
  const context = await browser.newContext();
  return {
    async newPage() {
      const page = await context.newPage();
      return {
        goto: async (url) => void (await page.goto(url)),
        evaluate: (fn, ...args) => page.evaluate(`(${fn})(...${JSON.stringify(args)})`),
        tap: (x, y) => page.mouse.click(x, y),
        type: (text) => page.keyboard.type(text),
        press: (key, shift) => page.keyboard.press(shift ? `Shift+${key}` : key),
        back: async () => void (await page.goBack()),
        reload: async () => void (await page.reload()),
        close: () => page.close(),
      };
    },
    close: () => browser.close(),
  };
}

/** Starts a program that must not outlive the tests. */
function start(program, args, env, stdio = ["ignore", "ignore", "ignore"]) {
  const child = spawn(program, args, { env: { PATH: process.env.PATH, ...env }, stdio });
  child.unref();
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  return {
    child,
    async stop() {
      process.off("exit", kill);
      if (child.exitCode !== null || child.signalCode) return;
      const ended = once(child, "exit");
      child.ref();
      child.kill();
      await ended;
    },
  };
}

/** The path of a program, if it is installed. */
const onPath = (name) => process.env.PATH.split(":").map((dir) => join(dir, name)).find((file) => existsSync(file));

/** A home directory for a browser. */
function home() {
  const dir = mkdtempSync(join(tmpdir(), "engine-"));
  return { dir, env: { HOME: dir, XDG_RUNTIME_DIR: dir, XDG_CACHE_HOME: dir, XDG_CONFIG_HOME: dir, XDG_DATA_HOME: dir }, remove: () => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }) };
}

/** @returns {Promise<Browser>} */
async function firefox() {
  const at = home();
  // Only the test makes network requests.
  writeFileSync(join(at.dir, "user.js"), `user_pref("marionette.port", 0);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("browser.newtabpage.enabled", false);
user_pref("browser.startup.page", 0);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("services.settings.server", "data:,#remote-settings-dummy/v1");
user_pref("ui.prefersReducedMotion", 1);
`);
  const program = start(process.env.FIREFOX ?? onPath("firefox-esr") ?? "firefox", ["--headless", "--no-remote", "--profile", at.dir, "--marionette", "about:blank"], at.env);
  const active = join(at.dir, "MarionetteActivePort");
  const port = await eventually(() => Number(readFileSync(active, "utf8")) || Promise.reject(new Error("no port yet")));
  const socket = createConnection(port, "127.0.0.1");
  const answers = new Map();
  let read = Buffer.alloc(0);
  let hello;
  const greeted = new Promise((done) => (hello = done));
  // A message is its length in bytes, a colon, and JSON: [0, id, command, parameters] or [1, id, error, result].
  socket.on("data", (chunk) => {
    read = Buffer.concat([read, chunk]);
    for (let colon; (colon = read.indexOf(":")) > 0; ) {
      const end = colon + 1 + Number(read.subarray(0, colon));
      if (read.length < end) return;
      const message = JSON.parse(read.subarray(colon + 1, end).toString());
      read = read.subarray(end);
      if (!Array.isArray(message)) hello();
      else answers.get(message[1])?.(message);
    }
  });
  let id = 0;
  const send = async (command, parameters) => {
    const text = JSON.stringify([0, ++id, command, parameters]);
    const [, , error, result] = await new Promise((done, fail) => {
      answers.set(id, done);
      socket.once("close", () => fail(new Error("Firefox is gone")));
      socket.write(`${Buffer.byteLength(text)}:${text}`);
    });
    if (error) throw new Error(`${command}: ${error.error}: ${error.message}`);
    return result;
  };
  socket.setMaxListeners(0);
  await greeted;
  await send("WebDriver:NewSession", {});
  const names = { url: "WebDriver:Navigate", back: "WebDriver:Back", refresh: "WebDriver:Refresh", actions: "WebDriver:PerformActions", "execute/async": "WebDriver:ExecuteAsyncScript", timeouts: "WebDriver:SetTimeouts" };
  return webDriver({
    command: async (name, parameters) => (await send(names[name], parameters)).value,
    first: (await send("WebDriver:GetWindowHandle", {})).value,
    open: async () => (await send("WebDriver:NewWindow", { type: "tab" })).handle,
    enter: (handle) => send("WebDriver:SwitchToWindow", { handle }),
    shut: () => send("WebDriver:CloseWindow", {}),
    async end() {
      socket.removeAllListeners("close");
      socket.destroy();
      await program.stop();
      at.remove();
    },
  });
}

/** Path of WebKitGTK's test browser on Debian and others; "" if there is none. */
function miniBrowser() {
  const triplets = existsSync("/usr/lib") ? readdirSync("/usr/lib").map((d) => `/usr/lib/${d}`) : [];
  return ["/usr/libexec", "/usr/lib", ...triplets].flatMap((d) => [`${d}/webkit2gtk-4.1/MiniBrowser`, `${d}/webkit2gtk-4.0/MiniBrowser`]).find((f) => existsSync(f)) ?? "";
}

/** @returns {Promise<Browser>} */
async function webkit() {
  const at = home();
  const screen = start("Xvfb", ["-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp"], {}, ["ignore", "ignore", "ignore", "pipe"]);
  const display = await new Promise((done, fail) => {
    screen.child.stdio[3].once("data", (text) => {
      screen.child.stdio[3].unref(); // from now on it does not keep Node running
      done(`:${String(text).trim()}`);
    });
    screen.child.once("error", fail);
  });
  const port = await new Promise((done) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
  const driver = start("WebKitWebDriver", [`--port=${port}`], { ...at.env, DISPLAY: display, GDK_BACKEND: "x11", NO_AT_BRIDGE: "1", GSETTINGS_BACKEND: "memory", WEBKIT_DISABLE_DMABUF_RENDERER: "1", LIBGL_ALWAYS_SOFTWARE: "1" });
  const call = async (method, path, body) => {
    const res = await fetch(`http://127.0.0.1:${port}${path}`, { method, body: body && JSON.stringify(body), headers: { "content-type": "application/json" } });
    const { value } = await res.json();
    if (!res.ok) throw new Error(`${path}: ${value.error}: ${value.message}`);
    return value;
  };
  await eventually(() => call("GET", "/status"));
  const capabilities = { alwaysMatch: { "webkitgtk:browserOptions": { binary: miniBrowser(), args: ["--automation"] } } };
  const { sessionId } = await call("POST", "/session", { capabilities });
  const send = (path, body = {}) => call("POST", `/session/${sessionId}/${path}`, body);
  return webDriver({
    command: send,
    first: await call("GET", `/session/${sessionId}/window`),
    // A tab that is not visible gets no clicks.
    open: async () => (await send("window/new", { type: "window" })).handle,
    enter: (handle) => send("window", { handle }),
    shut: () => call("DELETE", `/session/${sessionId}/window`),
    async end() {
      await call("DELETE", `/session/${sessionId}`).catch(() => {});
      await driver.stop();
      await screen.stop();
      at.remove();
    },
  });
}

/**
 * A browser controlled with WebDriver's commands, one at a time.
 * @param {{command: (name: string, parameters: any) => Promise<any>, first: string, open: () => Promise<string>, enter: (handle: string) => Promise<any>, shut: () => Promise<any>, end: () => Promise<void>}} to
 * @returns {Promise<Browser>}
 */
async function webDriver(to) {
  let last = Promise.resolve();
  let present = "";
  const inTurn = (act) => {
    const now = last.then(act);
    last = now.catch(() => {});
    return now;
  };
  await to.command("timeouts", { script: 60_000, pageLoad: 60_000 });
  return {
    async newPage() {
      const handle = await inTurn(to.open);
      const command = (name, parameters = {}) =>
        inTurn(async () => {
          if (present !== handle) await to.enter(handle);
          present = handle;
          return to.command(name, parameters);
        });
      const strokes = (list) => command("actions", { actions: [{ type: "key", id: "keyboard", actions: list }] });
      const stroke = (value) => [{ type: "keyDown", value }, { type: "keyUp", value }];
      return {
        goto: (url) => command("url", { url }),
        async evaluate(fn, ...args) {
          const script = `const done = arguments[1]; (async () => (${fn})(...arguments[0]))().then((v) => done([v ?? null]), (e) => done([null, String(e) + "\\n" + e?.stack]));`;
          const [value, error] = await command("execute/async", { script, args: [args] });
          if (error) throw new Error(error);
          return value;
        },
        tap: (x, y) => command("actions", { actions: [{ type: "pointer", id: "mouse", parameters: { pointerType: "mouse" }, actions: [{ type: "pointerMove", duration: 0, origin: "viewport", x: Math.round(x), y: Math.round(y) }, { type: "pointerDown", button: 0 }, { type: "pointerUp", button: 0 }] }] }),
        type: (text) => strokes([...text].flatMap(stroke)),
        press: (key, shift) => strokes(shift ? [{ type: "keyDown", value: "\uE008" }, ...stroke(keys[key]), { type: "keyUp", value: "\uE008" }] : stroke(keys[key])),
        back: () => command("back"),
        reload: () => command("refresh"),
        close: () =>
          inTurn(async () => {
            if (present !== handle) await to.enter(handle);
            await to.shut();
            await to.enter((present = to.first)); // which stays open, because new tabs are opened from it
          }),
      };
    },
    close: to.end,
  };
}

export const engines = { chromium, firefox, webkit };
