// @ts-check
// Parts of the widget that only some visitors need. They lie beside the panel
// under the same hash.

/** @param {string} name @returns {Promise<any>} */
export function part(name) {
  return import(import.meta.url.replace(/panel(?=[^/]*$)/, name));
}

/** Loads what attachments need. @returns {Promise<typeof import("./files.js")>} */
export const filesPart = () => part("files");

/** Loads what shows an agent's words. @returns {Promise<typeof import("./markdown.js")>} */
export const markdownPart = () => part("markdown");
