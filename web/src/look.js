// @ts-check
// The look of the panel, from the website's settings.
import { css, inkOn, parseColor, readable } from "./color.js";
import { part } from "./part.js";
import { length } from "./settings.js";
import { isRTL, locale, say } from "./strings.js";

/**
 * Sets the panel's colors, sizes, title, picture, language and direction.
 * @param {import("./frame.js").Frame} frame
 * @param {Record<string, string>} settings
 * @param {string} before the current picture
 * @param {HTMLElement} el the element in the page
 */
export function dress({ root, title }, settings, before, el) {
  const accent = parseColor(settings.accent) ?? [45, 91, 209];
  root.style.setProperty("--ink", css(inkOn(accent)));
  root.style.setProperty("--accent-day", css(readable(accent, [255, 255, 255], 4.6)));
  root.style.setProperty("--accent-night", css(readable(accent, [24, 26, 30], 4.6)));
  title.textContent = settings.title || say("title");
  for (const side of ["width", "height"]) root.style.setProperty(`--relay-${side}`, length(settings[side]) || null);
  if (settings.avatar !== before) void part("brand").then((m) => m.portray(title, settings.avatar)).catch(() => {});
  root.dataset.theme = /^(light|dark)$/.test(settings.theme) ? settings.theme : "auto";
  root.lang = locale;
  root.dir = el.dir || (isRTL() ? "rtl" : getComputedStyle(el).direction);
}
