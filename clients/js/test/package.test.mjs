// The package that npm would publish: packed, inspected, installed and used.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startRelay } from "../../../web/test/helpers.mjs";

const here = new URL("..", import.meta.url).pathname;
const dir = mkdtempSync(join(tmpdir(), "relay-client-"));
const npm = (...args) => execFileSync("npm", args, { cwd: dir, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const tool = (name, ...args) => execFileSync(process.execPath, [join(here, "node_modules", name), ...args], { cwd: dir, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
let tarball;
let files;

before(() => {
  const [packed] = JSON.parse(npm("pack", here, "--json", "--silent").replace(/^[^[]*/, ""));
  tarball = join(dir, packed.filename);
  files = packed.files.map((f) => f.path);
});
after(() => rmSync(dir, { recursive: true }));

test("the package holds its modules with their types, and nothing else", () => {
  const modules = readdirSync(join(here, "src")).filter((f) => f.endsWith(".js") && !f.endsWith(".test.js"));
  const elements = readdirSync(join(here, "elements")).map((f) => `elements/${f}`);
  const want = ["package.json", "README.md", "LICENSE", ...modules.map((f) => `src/${f}`), ...modules.map((f) => `types/${f.replace(/js$/, "d.ts")}`), ...elements];
  assert.deepEqual(files.toSorted(), want.toSorted());
});

test("publint and attw have nothing to say", () => {
  tool("publint/src/cli.js", "--strict", tarball);
  tool("@arethetypeswrong/cli/dist/index.js", tarball, "--profile", "esm-only");
});

test("the installed package works", async () => {
  writeFileSync(join(dir, "package.json"), '{"private":true,"type":"module"}');
  npm("install", "--offline", "--no-audit", "--no-fund", tarball);
  writeFileSync(join(dir, "use.js"), 'import { createRelayClient } from "@anyframe-relay/client";\nconst client = createRelayClient({ relay: process.argv[2] });\nconsole.log((await client.send("hello").finished()).reason);\nclient.close();\n');
  const relay = await startRelay("demo");
  try {
    assert.equal(execFileSync(process.execPath, ["use.js", relay.url], { cwd: dir, encoding: "utf8", timeout: 60_000 }), "done\n");
  } finally {
    await relay.stop();
  }
});
