// @ts-check
// On a phone the keyboard covers the page instead of shrinking it; the panel is fitted to
// the visible area.

/**
 * Keeps --vh and --vt of an element at the height and top of the visible area.
 * @param {HTMLElement} el
 * @param {AbortSignal} signal
 */
export function followViewport(el, signal) {
  const view = window.visualViewport;
  if (!view) return;
  const measure = () => {
    el.style.setProperty("--vh", `${Math.round(view.height)}px`);
    el.style.setProperty("--vt", `${Math.round(view.offsetTop)}px`);
  };
  view.addEventListener("resize", measure, { signal });
  view.addEventListener("scroll", measure, { signal });
  measure();
}
