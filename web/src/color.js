// @ts-check
// Sufficient contrast for any accent color (WCAG 2.2, 1.4.3).
import { doc } from "../../clients/js/src/doc.js";

/** @typedef {[number, number, number]} RGB 0 to 255 each */

/** @param {RGB} c */
export function luminance(c) {
  const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** @param {RGB} a @param {RGB} b */
export function contrast(a, b) {
  const [hi, lo] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (hi + 0.05) / (lo + 0.05);
}

/** Returns black or white, whichever has more contrast with a color. @param {RGB} c @returns {RGB} */
export function inkOn(c) {
  return contrast(c, [255, 255, 255]) >= contrast(c, [0, 0, 0]) ? [255, 255, 255] : [0, 0, 0];
}

/**
 * Moves a color towards black or white until it is readable on a background.
 * @param {RGB} c @param {RGB} ground @param {number} ratio
 * @returns {RGB}
 */
export function readable(c, ground, ratio) {
  const end = luminance(ground) > 0.2 ? 0 : 255;
  for (let k = 0; k < 1; k += 0.05) {
    const mixed = /** @type {RGB} */ (c.map((v) => Math.round(v + (end - v) * k)));
    if (contrast(mixed, ground) >= ratio) return mixed;
  }
  return [end, end, end];
}

/** @param {RGB} c */
export function css(c) {
  return `rgb(${c.join(" ")})`;
}

/**
 * Parses any color that the browser supports; null if it is invalid.
 * @param {string} text
 * @returns {RGB|null}
 */
export function parseColor(text) {
  if (!text || !CSS.supports("color", text)) return null;
  const canvas = doc.createElement("canvas");
  canvas.width = canvas.height = 1;
  const ctx = canvas.getContext("2d", { willReadFrequently: true });
  if (!ctx) return null;
  ctx.fillStyle = text;
  ctx.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = ctx.getImageData(0, 0, 1, 1).data;
  return a < 128 ? null : [r, g, b];
}
