// @ts-check
// Parts of the widget that only some visitors need. They are next to the panel under the
// same hash.

/** @type {Record<string, Promise<any>>} */
const parts = {};
let failures = 0;

/**
 * Loads a part. In Firefox and WebKit an address that failed once fails permanently, so
 * the next attempt uses another.
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

/** Loads the code for attachments. @returns {Promise<typeof import("./files.js")>} */
export const filesPart = () => part("files");

/** Loads the Markdown renderer. @returns {Promise<typeof import("./markdown.js")>} */
export const markdownPart = () => part("markdown");
