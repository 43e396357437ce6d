// @ts-check
// Attachments: choosing, storing, encoding and sending files. The panel loads this with a
// visitor's first file and passes in the functions it needs.
import { doc } from "../../clients/js/src/doc.js";
import { Native } from "../../clients/js/src/native.js";
import { fileWords } from "./words.js";

/** Loads the decoder for other encodings. @returns {Promise<typeof import("./encoding.js")>} */
const encodingPart = () => import(import.meta.url.replace(/files(?=[^/]*$)/, "encoding"));

/**
 * A file to send.
 * @typedef {object} Attached
 * @property {string} name
 * @property {string} mime
 * @property {Blob} data
 */

/** @typedef {["tooMany"|"tooLarge"|"wrongType"|"recodeRefused", Record<string, string|number>]} Fault the error, with values for its placeholders */

/** An upload without progress for this long is aborted, in ms. */
const patience = 40_000;

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
.file canvas{width:40px;height:40px;border-radius:6px;flex:none}
.chips{flex:1 0 100%;justify-content:start;margin-inline-start:-10px}
.chips .file{display:flex;align-items:center;gap:6px;padding:3px 5px}
.chips .file span{overflow:hidden;text-overflow:ellipsis}
.recode{flex:1 0 100%;min-width:0;padding:8px 10px;font-size:.9em}
.recode pre{max-height:120px;overflow:auto;white-space:pre-wrap;background:var(--soft);border-radius:8px;padding:8px 10px;margin:6px 0 0}
.recode select{font:inherit;color:inherit;background:var(--bg);border:1px solid var(--line);border-radius:9px;padding:6px}
.x{flex:none;display:grid;place-items:center;width:24px;height:24px;border-radius:8px;color:var(--muted)}
.x:hover{background:var(--soft);color:var(--text)}
.x svg{width:14px}
`);

/**
 * The parts of the panel that this module uses.
 * @typedef {object} Kit
 * @property {import("./composer.js").Composer} composer
 * @property {Attached[]} files the composer's files; after a log-out the composer has others, and no file is added to these
 * @property {typeof import("./h.js").h} h
 * @property {typeof import("./h.js").icon} icon
 * @property {typeof import("./strings.js").say} say
 * @property {typeof import("./strings.js").teach} teach
 * @property {(text: string) => string} plain
 * @property {(name: string) => string} short
 */

/**
 * Attaches the files that may be sent; returns the errors of the others.
 * @param {Iterable<File>} files
 * @param {import("../../clients/js/src/client.js").Limits} limits
 * @param {Kit} kit
 */
export async function attach(files, limits, kit) {
  kit.teach(fileWords);
  const { taken, faults, strange } = await choose(files, kit.composer.files.length, limits);
  const { max_attachments: most, max_attachment: largest = 0 } = limits;
  const full = [await show(taken, kit, most)];
  if (strange.length) {
    const part = await encodingPart();
    for (const file of strange) {
      const recoded = await part.recode(file, largest, kit);
      if (Array.isArray(recoded)) faults.push(recoded);
      else full.push(await show([recoded], kit, most));
    }
  }
  return [...new Set([...faults.map(([word, blanks]) => kit.say(word, blanks)), ...full])].filter(Boolean).join(" ");
}

/**
 * Shows files as attached to the message in the composer. Others may have been attached
 * since they were chosen, so it also checks their number.
 * @param {Attached[]} files
 * @param {Kit} kit
 * @param {number} [most]
 * @returns {Promise<string>} the error, or ""
 */
export async function show(files, { composer, files: attached, h, icon, say, teach, plain, short }, most = Infinity) {
  teach(fileWords);
  const root = composer.el.getRootNode();
  if (root instanceof ShadowRoot && !root.adoptedStyleSheets.includes(sheet)) root.adoptedStyleSheets.push(sheet);
  let full = "";
  for (const file of files) {
    const name = plain(file.name);
    const remove = h("button", { type: "button", class: "x", "aria-label": say("remove", { name }), onclick: () => {
      composer.files.splice(composer.files.indexOf(file), 1);
      chip.replaceWith();
      composer.fit();
      composer.field.focus();
    } }, icon("M6 6l12 12M18 6L6 18"));
    const picture = await preview(file);
    if (attached !== composer.files) return "";
    if (attached.length >= most) {
      full = say("tooMany", { n: most });
      break;
    }
    const chip = h("span", { class: "file", title: name }, picture, h("span", { dir: "auto" }, short(name)), remove);
    attached.push(file);
    composer.chips.append(chip);
  }
  composer.fit();
  composer.field.focus();
  return full;
}

/**
 * Selects the files that may be sent, by the relay's limits.
 * @param {Iterable<File>} files
 * @param {number} have number of files already attached
 * @param {import("../../clients/js/src/client.js").Limits} limits
 */
export async function choose(files, have, { max_attachments: most = 0, max_attachment: largest = 0, attachment_types: types = [] }) {
  /** @type {Attached[]} */
  const taken = [];
  /** @type {Attached[]} texts that are not UTF-8 */
  const strange = [];
  /** @type {Fault[]} */
  const faults = [];
  for (const file of files) {
    const { name } = file;
    if (have + taken.length + strange.length >= most) {
      faults.push(["tooMany", { n: most }]);
      break;
    }
    if (file.size > largest) {
      faults.push(["tooLarge", { name, n: Math.floor(largest / 104857.6) / 10 }]);
      continue;
    }
    const { utf8, ...read } = await inspect(file, types);
    if (!read.mime || !file.size) faults.push(["wrongType", { name }]);
    else if (utf8) taken.push(read);
    else strange.push(read);
  }
  return { taken, faults, strange };
}

/** The types of pictures by extension. @type {Record<string, string>} */
const endings = { png: "png", jpg: "jpeg", jpeg: "jpeg", gif: "gif", webp: "webp", bmp: "bmp", avif: "avif", heic: "heic", ico: "ico", tif: "tiff", tiff: "tiff" };

/**
 * Returns the type that the relay will assign to a file: mime is "" if it will refuse it,
 * utf8 is false if it may be a text in another encoding. Browsers decide by a file's name
 * and recognize few text files. This decides by the content: a file without NUL that is
 * valid UTF-8 is a text, and a picture gets a name that matches its type.
 * @param {File} file @param {string[]} types
 */
async function inspect(file, types) {
  /** @param {string} mime */
  const accepted = (mime) => types.includes(mime) || types.includes(mime.replace(/\/.*/, "/*"));
  const said = file.type.split(";")[0].toLowerCase();
  const bytes = new Uint8Array(await file.arrayBuffer());
  const text = /^image\//.test(said) ? "" : [said, "text/plain"].find((mime) => /^text\//.test(mime) && accepted(mime)) ?? "";
  /** @param {string} mime */
  const as = (mime, utf8 = true, name = file.name) => ({ name, mime: accepted(mime) ? mime : "", data: /** @type {Blob} */ (file), utf8 });
  try {
    if (!bytes.includes(0) && new TextDecoder("utf-8", { fatal: true }).decode(bytes)) return as(text || said);
  } catch {
    // Then it is something else.
  }
  const head = String.fromCharCode(...bytes.subarray(0, 16));
  const [, picture] = /^\x89(PNG)\r\n\x1a\n/.exec(head) ?? /^\xff\xd8\xff()/.exec(head) ?? /^(GIF)8[79]a/.exec(head) ?? /^RIFF[^]{4}(WEBP)VP/.exec(head) ?? [];
  if (picture === undefined) return text && !/^(?:PK\x03\x04|%PDF-|\x1f\x8b|\x7fELF)/.test(head) ? as(text, false) : as(said);
  const kind = picture.toLowerCase() || "jpeg";
  const [ending = ""] = /[^.]+$/.exec(file.name) ?? [];
  const named = endings[ending.toLowerCase()];
  return as(`image/${kind}`, true, named && named !== kind ? file.name.slice(0, -ending.length) + kind : file.name);
}

/**
 * Draws a thumbnail; null if the file is not a picture. It uses a canvas, because the
 * page's policy may forbid images.
 * @param {Attached} file
 */
export async function preview({ mime, data }) {
  if (!/^image\//.test(mime)) return null;
  try {
    const picture = await createImageBitmap(data);
    const side = 80; // twice its size on the page, for high-density screens
    const canvas = Object.assign(doc.createElement("canvas"), { width: side, height: side });
    const scale = side / Math.min(picture.width, picture.height);
    const [w, h] = [picture.width * scale, picture.height * scale];
    canvas.getContext("2d")?.drawImage(picture, (side - w) / 2, (side - h) / 2, w, h);
    picture.close();
    return canvas;
  } catch {
    return null; // then only its name is shown
  }
}

/** @type {Map<string, Attached[]>} unsent files, by turn */
const held = new Map();

/**
 * Stores a turn's files until it is sent, across a reload if the browser allows it.
 * @param {string} turn @param {Attached[]} files
 */
export async function keep(turn, files) {
  held.set(turn, files);
  await shelf("readwrite", (s) => s.put(files, turn));
}

/** @param {string} turn @returns {Promise<Attached[]|undefined>} a turn's files, unless they are lost */
export async function recall(turn) {
  return held.get(turn) ?? (await shelf("readonly", (s) => s.get(turn)));
}

/** @param {string} turn */
export async function forget(turn) {
  held.delete(turn);
  await shelf("readwrite", (s) => s.delete(turn));
}

/**
 * Runs one operation in the browser's database; undefined if there is no database.
 * @param {IDBTransactionMode} mode
 * @param {(s: IDBObjectStore) => IDBRequest} act
 * @returns {Promise<any>}
 */
async function shelf(mode, act) {
  try {
    /** @type {IDBDatabase} */
    const db = await done(Object.assign(indexedDB.open("relay-chat"), { onupgradeneeded: (/** @type {any} */ e) => e.target.result.createObjectStore("files") }));
    try {
      return await done(act(db.transaction("files", mode).objectStore("files")));
    } finally {
      db.close();
    }
  } catch {
    return undefined;
  }
}

/** @param {IDBRequest} request @returns {Promise<any>} */
function done(request) {
  return new Native((ok, fail) => {
    request.onsuccess = () => ok(request.result);
    request.onerror = () => fail(request.error);
  });
}

/**
 * Encodes files for a message's body.
 * @param {Attached[]} files
 */
export function encode(files) {
  return Native.all(
    files.map(async ({ name, mime, data }) => {
      const reader = new FileReader();
      const read = new Native((ok, fail) => {
        reader.onload = ok;
        reader.onerror = () => fail(reader.error);
      });
      reader.readAsDataURL(data);
      await read;
      return { name, mime, data: String(reader.result).replace(/^[^,]*,?/, "") };
    }),
  );
}

/**
 * Like fetch, with progress of the upload.
 * @param {URL} url
 * @param {RequestInit & {headers: Record<string, string>}} init
 * @param {(share: number) => void} onProgress 0 to 1
 * @returns {Promise<Response>}
 */
export function post(url, { method = "POST", headers, body, signal }, onProgress) {
  return new Native((ok, fail) => {
    const xhr = new XMLHttpRequest();
    /** @type {ReturnType<typeof setTimeout>} */
    let timer;
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(() => xhr.abort(), patience);
    };
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (e) => {
      wait();
      onProgress(e.loaded / e.total);
    };
    xhr.onloadend = () => {
      clearTimeout(timer);
      if (!xhr.status) return fail(new Error("the upload broke"));
      const type = xhr.getResponseHeader("content-type");
      const after = xhr.getResponseHeader("retry-after");
      ok(new Response(xhr.responseText || null, { status: xhr.status, headers: { ...(type && { "content-type": type }), ...(after && { "retry-after": after }) } }));
    };
    signal?.addEventListener("abort", () => xhr.abort());
    wait();
    xhr.send(/** @type {string} */ (body));
  });
}
