// What Lighthouse and the Nu HTML checker say of the pages that the relay serves. Ends with
// 1 unless every category but performance, which depends on the machine, has 100 points and
// the markup is valid.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launch } from "chrome-launcher";
import lighthouse, { desktopConfig } from "lighthouse";
import vnu from "vnu-jar";
import { flags, startPlane, startRelay } from "../../web/test/helpers.mjs";

const scratch = mkdtempSync(join(tmpdir(), "pages-"));

let wrong = 0;
const say = (page, text, bad) => {
  if (bad) wrong++;
  console.log(`${bad ? "✖" : "✔"} ${page.padEnd(11)} ${text}`);
};

const demo = await startRelay("demo", { RELAY_ADMIN_ADDR: "127.0.0.1:0" });
const plane = await startPlane();
const plain = await startRelay("serve", plane.env);
const console_ = `http://${JSON.parse(demo.log().split("\n").find((line) => line.includes('"msg":"admin"'))).addr}/`;
const pages = { demo: demo.url, playground: `${demo.url}playground`, page: plain.url, console: console_ };
const chrome = await launch({ chromePath: process.env.CHROMIUM ?? "/usr/bin/chromium", chromeFlags: flags });
try {
  for (const [name, url] of Object.entries(pages)) {
    // The console begins with a request that is refused for want of a token, which counts as an error.
    for (const [device, config] of name === "console" ? [] : [["phone", undefined], ["desktop", desktopConfig]]) {
      const result = await lighthouse(url, { port: chrome.port, output: "json", logLevel: "silent" }, config);
      const { categories, audits } = result.lhr;
      const points = Object.values(categories).map((c) => `${c.title} ${Math.round((c.score ?? 0) * 100)}`);
      const short = Object.values(categories).filter((c) => c.id !== "performance" && (c.score ?? 0) < 1);
      const why = short.flatMap((c) => c.auditRefs.filter((r) => r.weight > 0 && (audits[r.id].score ?? 1) < 1).map((r) => r.id));
      say(name, `Lighthouse, ${device}: ${points.join(", ")}${why.length ? ` (${why.join(", ")})` : ""}`, short.length > 0);
    }
    const file = join(scratch, `${name}.html`);
    writeFileSync(file, await (await fetch(url)).text());
    const nu = spawnSync("java", ["-jar", vnu, "--format", "gnu", file], { encoding: "utf8" });
    if (nu.error) say(name, `Nu HTML checker: not run, as it takes Java: ${nu.error.message}`, true);
    else say(name, `Nu HTML checker: ${nu.stderr.trim().replaceAll(`"file:${file}":`, "") || "valid"}`, nu.status !== 0);
  }
} finally {
  chrome.kill();
  await Promise.all([demo.stop(), plain.stop()]);
  await plane.stop();
  rmSync(scratch, { recursive: true, force: true });
}
process.exitCode = wrong ? 1 : 0;
