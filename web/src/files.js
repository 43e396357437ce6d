// @ts-check
// Attachments: choosing, keeping, encoding and sending files. The panel loads
// this with a visitor's first file and lends it what it has.
import { doc } from "./doc.js";
import { Native } from "./native.js";
import { fileWords } from "./words.js";

/**
 * A file as it is sent.
 * @typedef {object} Attached
 * @property {string} name
 * @property {string} mime
 * @property {Blob} data
 */

/** @typedef {["tooMany"|"tooLarge"|"wrongType", Record<string, string|number>]} Fault what is wrong, with its blanks */

/** An upload in which nothing moves for this long is given up, in ms. */
const patience = 40_000;

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
.file canvas{width:40px;height:40px;border-radius:6px;flex:none}
.chips{flex:1 0 100%;justify-content:start;margin-inline-start:-10px}
.chips .file{display:flex;align-items:center;gap:6px;padding:3px 5px}
.chips .file span{overflow:hidden;text-overflow:ellipsis}
.x{flex:none;display:grid;place-items:center;width:24px;height:24px;border-radius:8px;color:var(--muted)}
.x:hover{background:var(--soft);color:var(--text)}
.x svg{width:14px}
`);

/**
 * What the panel lends.
 * @typedef {object} Kit
 * @property {import("./composer.js").Composer} composer
 * @property {typeof import("./h.js").h} h
 * @property {typeof import("./h.js").icon} icon
 * @property {typeof import("./strings.js").say} say
 * @property {typeof import("./strings.js").teach} teach
 * @property {(text: string) => string} plain
 */

/**
 * Attaches files that may be sent; returns what is wrong with the others.
 * @param {Iterable<File>} files
 * @param {import("./client.js").Limits} limits
 * @param {Kit} kit
 */
export async function attach(files, limits, kit) {
  const { taken, faults } = await choose(files, kit.composer.files.length, limits);
  await show(taken, kit);
  return faults.map(([word, blanks]) => kit.say(word, blanks)).join(" ");
}

/**
 * Shows files as attached to what is being written.
 * @param {Attached[]} files
 * @param {Kit} kit
 */
export async function show(files, { composer, h, icon, say, teach, plain }) {
  teach(fileWords);
  const root = composer.el.getRootNode();
  if (root instanceof ShadowRoot && !root.adoptedStyleSheets.includes(sheet)) root.adoptedStyleSheets.push(sheet);
  for (const file of files) {
    const name = plain(file.name);
    const remove = h("button", { type: "button", class: "x", "aria-label": say("remove", { name }), onclick: () => {
      composer.files.splice(composer.files.indexOf(file), 1);
      chip.replaceWith();
      composer.fit();
      composer.field.focus();
    } }, icon("M6 6l12 12M18 6L6 18"));
    const chip = h("span", { class: "file", title: name }, await preview(file), h("span", { dir: "auto" }, name), remove);
    composer.files.push(file);
    composer.chips.append(chip);
  }
  composer.fit();
  composer.field.focus();
}

/**
 * Sorts out which files may be sent, by the relay's limits.
 * @param {Iterable<File>} files
 * @param {number} have how many there are already
 * @param {import("./client.js").Limits} limits
 */
export async function choose(files, have, { max_attachments: most = 0, max_attachment: largest = 0, attachment_types: types = [] }) {
  /** @type {Attached[]} */
  const taken = [];
  /** @type {Fault[]} */
  const faults = [];
  for (const file of files) {
    const { name } = file;
    if (have + taken.length >= most) {
      faults.push(["tooMany", { n: most }]);
      break;
    }
    if (file.size > largest) {
      faults.push(["tooLarge", { name, n: Math.floor(largest / 104857.6) / 10 }]);
      continue;
    }
    const mime = await kind(file, types);
    if (mime && file.size) taken.push({ name, mime, data: file });
    else faults.push(["wrongType", { name }]);
  }
  return { taken, faults };
}

/**
 * Returns what the relay will take a file for, "" if it will not take it.
 * Browsers call few texts text: a file without NUL that is UTF-8 is one.
 * @param {File} file @param {string[]} types
 */
async function kind(file, types) {
  /** @param {string} mime */
  const accepted = (mime) => types.includes(mime) || types.includes(mime.replace(/\/.*/, "/*"));
  const said = file.type.split(";")[0].toLowerCase();
  if (/^image\//.test(said)) return accepted(said) ? said : "";
  try {
    if (new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer()).includes("\0")) return "";
  } catch {
    return accepted(said) && !/^text\//.test(said) ? said : "";
  }
  return [said, "text/plain"].find((mime) => /^text\//.test(mime) && accepted(mime)) ?? (accepted(said) ? said : "");
}

/**
 * Draws a picture small; null for what is none. A canvas, since the page's
 * policy may forbid images.
 * @param {Attached} file
 */
export async function preview({ mime, data }) {
  if (!/^image\//.test(mime)) return null;
  try {
    const picture = await createImageBitmap(data);
    const side = 80; // twice what it takes up, for fine screens
    const canvas = Object.assign(doc.createElement("canvas"), { width: side, height: side });
    const scale = side / Math.min(picture.width, picture.height);
    const [w, h] = [picture.width * scale, picture.height * scale];
    canvas.getContext("2d")?.drawImage(picture, (side - w) / 2, (side - h) / 2, w, h);
    picture.close();
    return canvas;
  } catch {
    return null; // then its name must do
  }
}

/** @type {Map<string, Attached[]>} what is not yet sent, by turn */
const held = new Map();

/**
 * Keeps a turn's files until it is sent, over a reload too if the browser lets us.
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
 * Does one thing in the browser's database; undefined when it has none for us.
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
 * Writes files as a message's body has them.
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
 * Fetches like fetch, and tells how much of the body is gone.
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
