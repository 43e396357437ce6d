// @ts-check
// A page's context, sent with a message, within the relay's limits. Excess data is
// dropped here too, so that a mistake of the page does not cost a visitor a message.

import { write } from "./native.js";

/** @typedef {import("./outbox.js").Context} Context */

const maxMembers = 32;
/** Limit of one string, in bytes of UTF-8. */
const maxText = 1024;
const utf8 = new TextEncoder();
/** One warning per page. */
let warned = false;

/**
 * Returns the part of a context that may be sent, and warns once about the rest.
 * @param {unknown} context
 * @param {number} [most] bytes of JSON; 0 sends none
 * @returns {Context|undefined}
 */
export function fit(context, most = 4096) {
  if (context === undefined || most === 0) return undefined;
  /** @type {Context} */
  const out = {};
  const dropped = [];
  let size = 2;
  let members = 0;
  for (const [name, value] of Object.entries(context ?? {})) {
    if (value === undefined) continue;
    const text = typeof value === "string";
    const valid = /^[\w.-]{1,64}$/.test(name) && (text ? utf8.encode(value).length <= maxText : typeof value === "boolean" || Number.isFinite(value));
    const takes = valid ? utf8.encode(`${members ? "," : ""}"${name}":${write(value)}`).length : 0;
    if (!valid || members === maxMembers || size + takes > most) {
      dropped.push(name);
      continue;
    }
    out[name] = value;
    size += takes;
    members++;
  }
  if (dropped.length && !warned) {
    warned = true;
    console.warn(`relay-chat: left out of the context: ${dropped.slice(0, 8).join(", ")}. It takes ${maxMembers} names of A-Z, a-z, 0-9, "_", "." and "-", with texts of ${maxText} bytes, numbers or booleans, ${most} bytes in all.`);
  }
  return out;
}
