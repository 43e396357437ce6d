import assert from "node:assert/strict";
import { test } from "node:test";
import { candidates, decode } from "./encoding.js";

const bytes = (hex) => Uint8Array.from(hex.match(/../g), (b) => parseInt(b, 16));
const utf16 = (text, big) => Uint8Array.from([...text].flatMap((c) => { const n = c.charCodeAt(0); return big ? [n >> 8, n & 255] : [n & 255, n >> 8]; }));

test("the likeliest encoding is that of the text or of its readers", () => {
  for (const [name, data, languages, encoding, text] of [
    ["UTF-16 by its mark", Uint8Array.from([0xff, 0xfe, ...utf16("héllo 你好")]), ["en"], "utf-16le", "héllo 你好"],
    ["UTF-16, the other way round", Uint8Array.from([0xfe, 0xff, ...utf16("안녕", true)]), ["en"], "utf-16be", "안녕"],
    ["UTF-16 without a mark", utf16("a,b\r\nสวัสดี,1"), ["en"], "utf-16le", "a,b\r\nสวัสดี,1"],
    ["the other way round", utf16("a,b\r\nمرحبا,1", true), ["ar"], "utf-16be", "a,b\r\nمرحبا,1"],
    ["French", bytes("436166e92c2035"), ["fr-FR", "en"], "windows-1252", "Café, 5"],
    ["English", bytes("a335a9"), ["en-US"], "windows-1252", "£5©"],
    ["Chinese", bytes("c4e3bac3a3ac"), ["zh-CN", "en"], "gb18030", "你好，"],
    ["Japanese", bytes("93fa967b8cea"), ["ja"], "shift_jis", "日本語"],
    ["Korean", bytes("c7d1b1b9beee"), ["ko-KR"], "euc-kr", "한국어"],
    ["Arabic", bytes("e3d1cdc8c7"), ["ar"], "windows-1256", "مرحبا"],
    ["Thai", bytes("e4b7c2"), ["th-TH"], "windows-874", "ไทย"],
    ["Russian", bytes("cff0e8e2e5f2"), ["ru"], "windows-1251", "Привет"],
  ]) {
    const [first] = candidates(data, languages);
    assert.equal(first, encoding, name);
    assert.equal(decode(data, first), text, name);
  }
});

test("what is no text in any encoding has none", () => {
  for (const data of [bytes("4d5a00"), bytes("504b030414000600"), bytes("0102038182"), bytes("fffe00d8")]) assert.deepEqual(candidates(data, ["en", "zh"]), []);
});
