// @ts-check
// The browser's own interfaces, whatever the page has put in front of them, and
// what stands in for them where there is no browser.

/** The document's prototype; libraries replace the global `Document`. */
export const prototype = () => /** @type {any} */ (Reflect.getPrototypeOf(document));

/**
 * The document without its named elements: `<img name="body">` hides
 * `document.body` from code that does not read it from the prototype. Read only.
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

/** Whether the page is hidden. What a script wrote there counts, an element of that name does not. */
export function isHidden() {
  if (!inPage) return false;
  const { hidden } = document;
  return typeof hidden === "boolean" ? hidden : doc.hidden;
}
