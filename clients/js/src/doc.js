// @ts-check
// The browser's own interfaces, even if the page has shadowed them, and replacements for
// use without a browser.

/** The document's prototype; libraries replace the global `Document`. */
export const prototype = () => /** @type {any} */ (Reflect.getPrototypeOf(document));

/**
 * The document without its named elements: `<img name="body">` hides `document.body` from
 * code that does not read it from the prototype. Read-only.
 * @type {Document}
 */
export const doc = new Proxy(/** @type {any} */ ({}), {
  get(_, name) {
    const value = Reflect.get(prototype(), name, document);
    return value?.bind?.(document) ?? value;
  },
});

/** Whether there is a page; there is none in workers, in Node and in apps. */
export const inPage = typeof document !== "undefined";

/** Whether the page is hidden. A value set by a script counts; an element with that name does not. */
export function isHidden() {
  if (!inPage) return false;
  const { hidden } = document;
  return typeof hidden === "boolean" ? hidden : doc.hidden;
}
