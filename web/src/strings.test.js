import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { en, reason, say } from "./strings.js";
import { cardWords, consentWords, fileWords, freshWords, menuWords, rateWords, troubleWords } from "./words.js";

const english = { ...en, ...cardWords, ...fileWords, ...troubleWords, ...freshWords, ...consentWords, ...rateWords, ...menuWords };

const blanks = (phrase) => [...new Set((typeof phrase === "string" ? phrase : phrase.other).match(/\{\w+\}/g) ?? [])].sort();
const packs = await Promise.all(
  readdirSync(new URL("lang/", import.meta.url)).map(async (name) => ({ name: name.slice(0, -3), pack: (await import(`./lang/${name}`)).default })),
);

test("every language says everything, with the same blanks", () => {
  assert.deepEqual(packs.map((p) => p.name).sort(), ["ar", "de", "es", "fr", "ja", "pt", "zh"]);
  for (const { name, pack } of packs) {
    assert.deepEqual(Object.keys(pack.words).sort(), Object.keys(english).sort(), name);
    for (const word of Object.keys(english)) {
      const phrase = pack.words[word];
      assert.deepEqual(blanks(phrase), blanks(english[word]), `${name} ${word}`);
      if (typeof phrase === "string") continue;
      const forms = new Intl.PluralRules(name).resolvedOptions().pluralCategories;
      for (const form of Object.keys(phrase)) assert.ok(forms.includes(form), `${name} ${word} has no use for ${form}`);
    }
  }
});

test("every language explains the same refusals", () => {
  const codes = Object.keys(packs[0].pack.codes).sort();
  for (const { name, pack } of packs) assert.deepEqual(Object.keys(pack.codes).sort(), codes, name);
  for (const code of ["http_413", "upload_failed", "event_skipped", "unreachable"]) {
    assert.ok(codes.includes(code), "what the relay has no words for");
    assert.notEqual(reason({ code, detail: "" }), "", "nor English");
  }
});

// Codes of the relay that the widget does not show, or does not translate.
const untranslated = [
  ...["admin_unauthorized", "console_read_off"], // only the operator's console receives them
  ...["bad_json", "bad_request", "empty_message", "method_not_allowed", "turn_conflict", "unsupported_media_type"], // the widget sends no such request
  "misdirected", // the relay is reached by a wrong name, under which the widget is not served either
  "origin_not_allowed", // the panel finds out more, and has its own texts for it
  "paused", // the text is the operator's
  ...["turn_over", "turn_stopped"], // shown as the state of the message
];

test("every language has a text for each problem that the widget shows", () => {
  const table = readFileSync(new URL("../../relay/internal/problem/problem.go", import.meta.url), "utf8");
  const codes = [...new Set([...table.matchAll(/&Problem\{\d{3}, "(\w+)"/g)].map((m) => m[1]))];
  assert.ok(codes.length > 25, "the whole table");
  for (const code of untranslated) assert.ok(codes.includes(code), `the relay has no ${code}`);
  for (const { name, pack } of packs) {
    assert.deepEqual(codes.filter((code) => !(code in pack.codes)).sort(), [...untranslated].sort(), name);
  }
});

test("only Arabic runs from right to left", () => {
  assert.deepEqual(packs.filter((p) => p.pack.rtl).map((p) => p.name), ["ar"]);
});

test("blanks are filled in, with numbers as they are written", () => {
  assert.equal(say("unread", { title: "Ask {n}", n: 1200 }), "Ask {n}, 1,200 unread");
  assert.equal(say("unread", {}), ",  unread");
});
