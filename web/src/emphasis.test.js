// Emphasis next to letters without spaces: the amendment "CJK-friendly emphasis" of
// CommonMark, compared with its implementation for markdown-it.
import assert from "node:assert/strict";
import { test } from "node:test";
import MarkdownIt from "markdown-it";
import friendly from "markdown-it-cjk-friendly";
import { parse } from "./markdown.js";

const reference = new MarkdownIt("commonmark").enable("strikethrough").use(friendly);

/** The tree as HTML. @param {any} node @returns {string} */
function html(node) {
  if (typeof node === "string") return node;
  return node.t === "br" ? "<br>" : `<${node.t}>${node.c.map(html).join("")}</${node.t}>`;
}

/** @param {string} text */
const ours = (text) => parse(text).map(html).join("");

/** @param {string} text */
const theirs = (text) =>
  reference.render(text).trimEnd().replace(/<(\/?)s>/g, "<$1del>").replaceAll("&quot;", '"').replaceAll("<br />\n", "<br>").replaceAll("\n</p>", "</p>");

test("emphasis beside punctuation is found in scripts without spaces", () => {
  for (const [text, want] of [
    // Chinese, simplified and traditional
    ["**注意：**请在“设置”中**打开（必须）**后", "<strong>注意：</strong>请在“设置”中<strong>打开（必须）</strong>后"],
    ["点击**“保存”**按钮，*「另存」*也行。", "点击<strong>“保存”</strong>按钮，<em>「另存」</em>也行。"],
    ["價格是**NT$100。**請付款", "價格是<strong>NT$100。</strong>請付款"],
    ["~~旧价（200元）~~现价", "<del>旧价（200元）</del>现价"],
    // Japanese
    ["これは**「重要」**です。**必ず読んでください。**以上", "これは<strong>「重要」</strong>です。<strong>必ず読んでください。</strong>以上"],
    ["葛󠄀**(異体字)**城市", "葛󠄀<strong>(異体字)</strong>城市"],
    ["**ｶﾀｶﾅ（半角）**も", "<strong>ｶﾀｶﾅ（半角）</strong>も"],
    // Korean
    ["**설정(필수)**을 여세요. 이것은 **'중요'**합니다.", "<strong>설정(필수)</strong>을 여세요. 이것은 <strong>'중요'</strong>합니다."],
    ["ᄒᆞᆫ글**(옛말)**은", "ᄒᆞᆫ글<strong>(옛말)</strong>은"],
    // Scripts with spaces, and Thai, which the amendment does not change
    ["**Note:** see *(this)* and **that.**", "<strong>Note:</strong> see <em>(this)</em> and <strong>that.</strong>"],
    ["a**(b)**c", "a**(b)**c"],
    ["**ملاحظة:** افتح *(الإعدادات)* الآن", "<strong>ملاحظة:</strong> افتح <em>(الإعدادات)</em> الآن"],
    ["**หมายเหตุ** เปิด **การตั้งค่า**เลย", "<strong>หมายเหตุ</strong> เปิด <strong>การตั้งค่า</strong>เลย"],
    ["**Важно:** откройте «*настройки*»", "<strong>Важно:</strong> откройте «<em>настройки</em>»"],
    // Underscores still have no effect within a word
    ["文字_（下線）_文字 snake_case", "文字_（下線）_文字 snake_case"],
    ["注意：__注意事項__", "注意：<strong>注意事項</strong>"],
  ]) {
    assert.equal(ours(text), `<p>${want}</p>`, text);
    assert.equal(theirs(text), `<p>${want}</p>`, `the reference: ${text}`);
  }
});

test("every character counts as the amendment says", () => {
  const wrong = [];
  let tried = 0;
  for (let code = 0xa1; code < 0x323b0; code++) {
    const ch = String.fromCodePoint(code);
    if (/\p{Cn}|\p{Co}|\p{Cs}|\p{Z}/u.test(ch)) continue;
    tried++;
    for (const text of [`a**(b)**${ch}`, `${ch}**(b)**a`, `${ch}\ufe00**(b)**a`]) {
      if (/<strong>/.test(reference.renderInline(text)) !== /<strong>/.test(ours(text))) wrong.push(`U+${code.toString(16)}: ${text}`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(tried > 140_000, `tried ${tried}`);
});

test("random emphasis is that of the reference", () => {
  let seed = 5;
  const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
  const pieces = ["*", "**", "***", "_", "__", "~~", "漢", "あ", "한", "a", "ไ", "ع", "（", "）", "。", "「", "」", "“", "”", "(", ")", ".", " ", "葛󠄀", "塚︀", "🈯", "〽", "!", "1", "〝", "ｱ", "、"];
  for (let run = 0; run < 4000; run++) {
    let text = "x";
    for (let n = random(14) + 3; n > 0; n--) text += pieces[random(pieces.length)];
    text += "x";
    // Runs of lengths other than two are text here; markdown-it splits them.
    if (/~{3}/.test(text)) continue;
    assert.equal(ours(text), theirs(text), JSON.stringify(text));
  }
});

test("striking out takes two tildes", () => {
  for (const [text, want] of [
    ["5~7天，100~200元", "5~7天，100~200元"],
    ["~5 kg and ~7 kg", "~5 kg and ~7 kg"],
    ["가격은 5~7만원, 100~200명", "가격은 5~7만원, 100~200명"],
    ["๕~๗ วัน ๑๐~๒๐ บาท", "๕~๗ วัน ๑๐~๒๐ บาท"],
    ["من ٥~٧ إلى ١٠~٢٠", "من ٥~٧ إلى ١٠~٢٠"],
    ["~~5~7~~ 8", "<del>5~7</del> 8"],
    ["~~~x~~~y", "~~~x~~~y"],
    ["a ~~b~ c~~", "a <del>b~ c</del>"],
  ]) {
    assert.equal(ours(`。${text}`), `<p>。${want}</p>`, text);
  }
});
