// @ts-check
// Keeps the focus in the panel, for visitors with a keyboard or a screen reader.

/**
 * Makes a change and returns its result. If it hides or removes the focused control, its
 * message or the transcript gets the focus.
 * @template T
 * @param {ShadowRoot} root
 * @param {HTMLElement} log
 * @param {() => T} change
 */
export function keepFocus(root, log, change) {
  const had = root.activeElement;
  const message = had?.closest("article");
  const result = change();
  const now = root.activeElement;
  if (had && !shown(had) && (!now || now === had)) {
    if (message) message.tabIndex = -1;
    (message && shown(message) ? message : log).focus({ preventScroll: true });
  }
  return result;
}

/** @param {Element} el */
function shown(el) {
  return el.getClientRects().length > 0;
}
