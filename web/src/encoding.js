// @ts-check
// Texts that are not UTF-8. The encoding of a text cannot be determined for certain, so
// the visitor sees a preview, and may choose another encoding, before it is sent.

/** @typedef {import("./files.js").Attached} Attached */

/** The available encodings, by the names that browsers use. */
const encodings = ["windows-1252", "gb18030", "big5", "shift_jis", "euc-jp", "euc-kr", "windows-1250", "windows-1251", "windows-1253", "windows-1254", "windows-1255", "windows-1256", "windows-1257", "windows-1258", "windows-874", "koi8-r"];

/** Encodings used for a language before UTF-8, the most likely first. @type {Record<string, string[]>} */
const usual = {
  zh: ["gb18030", "big5"], ja: ["shift_jis", "euc-jp"], ko: ["euc-kr"], ar: ["windows-1256"], fa: ["windows-1256"], th: ["windows-874"], ru: ["windows-1251", "koi8-r"], uk: ["windows-1251"], bg: ["windows-1251"], el: ["windows-1253"], he: ["windows-1255"], tr: ["windows-1254"], vi: ["windows-1258"], pl: ["windows-1250"], cs: ["windows-1250"], hu: ["windows-1250"],
};

/** Characters that no text contains. */
const noText = /[\0-\x08\x0b\x0e-\x1f\x7f-\x9f\ufffd]/;

/** Length of the preview, in characters. */
const most = 400;

/**
 * Decodes bytes as text; null if they are invalid in this encoding.
 * @param {Uint8Array} bytes
 * @param {string} encoding
 */
export function decode(bytes, encoding) {
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
    return noText.test(text) ? null : text;
  } catch {
    return null;
  }
}

/**
 * Returns the possible encodings of a text, the most likely first: the one of its byte
 * order mark, then those of its readers' languages.
 * @param {Uint8Array} bytes
 * @param {readonly string[]} languages
 */
export function candidates(bytes, languages) {
  const [a, b] = bytes;
  // In UTF-16 one byte of every space, digit and line end is NUL.
  const nul = bytes.indexOf(0);
  const wide = (a === 0xff && b === 0xfe) || nul % 2 === 1 ? "utf-16le" : (a === 0xfe && b === 0xff) || nul >= 0 ? "utf-16be" : "";
  const likely = languages.flatMap((tag) => usual[tag.slice(0, 2)] ?? (/^en/.test(tag) ? [] : ["windows-1252"]));
  return (wide ? [wide] : [...new Set([...likely, ...encodings])]).filter((e) => decode(bytes, e) !== null);
}

/**
 * Shows a preview of a text and returns it as UTF-8 if the visitor agrees. Otherwise, and
 * if it is not a text, it returns the error.
 * @param {Attached} file
 * @param {number} largest maximum bytes of an attachment
 * @param {import("./files.js").Kit} kit
 * @returns {Promise<Attached|import("./files.js").Fault>}
 */
export async function recode(file, largest, { composer, files, h, say, plain, short }) {
  const bytes = new Uint8Array(await file.data.arrayBuffer());
  if (files !== composer.files) return file; // show discards it
  const can = candidates(bytes, navigator.languages);
  const name = plain(file.name);
  if (!can.length) return ["wrongType", { name }];
  const sample = h("pre", { dir: "auto", tabindex: 0 });
  const select = h("select", { "aria-label": say("recodeLabel"), onchange: () => look() }, ...can.map((e) => h("option", { value: e }, e)));
  const look = () => {
    sample.textContent = plain((decode(bytes, select.value) ?? "").slice(0, most));
  };
  look();
  const yes = h("button", { type: "button", class: "small strong" }, say("recodeYes"));
  const no = h("button", { type: "button", class: "small" }, say("recodeNo"));
  const box = h("div", { class: "recode", role: "group", "aria-label": say("recode", { name }) }, h("div", { dir: "auto" }, say("recode", { name: short(name) })), sample, h("div", { class: "decide" }, select, yes, no));
  composer.chips.append(box);
  sample.focus({ preventScroll: true }); // not the button: the visitor may be pressing Enter to send
  const agreed = await new Promise((done) => {
    yes.onclick = () => done(true);
    no.onclick = () => done(false);
    box.onkeydown = (e) => {
      if (e.key !== "Escape") return;
      e.preventDefault(); // the panel stays open
      done(false);
    };
  });
  box.remove();
  composer.field.focus({ preventScroll: true });
  if (!agreed) return ["recodeRefused", { name, encoding: select.value }];
  const data = new Blob([decode(bytes, select.value) ?? ""], { type: file.mime });
  return data.size > largest ? ["tooLarge", { name, n: Math.floor(largest / 104857.6) / 10 }] : { name: file.name, mime: file.mime, data };
}
