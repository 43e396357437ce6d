// @ts-check
// Parts of the widget that only some visitors need. They lie beside the panel
// under the same hash.

/** @type {Record<string, Promise<any>>} */
const parts = {};
let failures = 0;

/**
 * Loads a part. An address that failed once fails for good in Firefox and in
 * WebKit, so the next attempt is at another.
 * @param {string} name
 * @returns {Promise<any>}
 */
export function part(name) {
  return (parts[name] ??= import(`${import.meta.url.replace(/panel(?=[^/]*$)/, name)}?${failures}`)).catch((err) => {
    failures++;
    delete parts[name];
    throw err;
  });
}

/** Loads what attachments need. @returns {Promise<typeof import("./files.js")>} */
export const filesPart = () => part("files");

/** Loads what shows an agent's words. @returns {Promise<typeof import("./markdown.js")>} */
export const markdownPart = () => part("markdown");
