// @ts-check
// The browser's own interfaces, whatever the page has put in front of them.

/** The document's prototype; libraries replace the global `Document`. */
export const prototype = () => /** @type {any} */ (Reflect.getPrototypeOf(document));

/**
 * The document without its named elements: `<img name="body">` hides
 * `document.body` from everybody who does not ask the prototype. To be read only.
 * @type {Document}
 */
export const doc = new Proxy(/** @type {any} */ ({}), {
  get(_, name) {
    const value = Reflect.get(prototype(), name, document);
    return value?.bind?.(document) ?? value;
  },
});

/** Whether nobody sees the page. What a script wrote there counts, an element of that name does not. */
export function isHidden() {
  const { hidden } = document;
  return typeof hidden === "boolean" ? hidden : doc.hidden;
}
