// @ts-check
// Attachments for programs, kept in memory until they are sent.

/** @typedef {import("./outbox.js").Attached} Attached */

/** @type {Map<string, Attached[]>} by turn */
const held = new Map();

/** @param {string} turn @param {Attached[]} files */
export async function keep(turn, files) {
  held.set(turn, files);
}

/** @param {string} turn */
export async function recall(turn) {
  return held.get(turn);
}

/** @param {string} turn */
export async function forget(turn) {
  held.delete(turn);
}

/**
 * Encodes files for a message's body. Not every runtime can create a Blob from bytes.
 * @param {Attached[]} files
 */
export function encode(files) {
  return Promise.all(files.map(async ({ name, mime, data }) => ({ name, mime, data: base64(new Uint8Array("arrayBuffer" in data ? await data.arrayBuffer() : data)) })));
}

/** @param {Uint8Array} bytes */
function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}
