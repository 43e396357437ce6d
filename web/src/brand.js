// @ts-check
// A website's own icon, label and avatar. The loader loads this for the launcher, and the
// panel for the agent's picture.
import { icon } from "./h.js";
import { plain } from "./plain.js";

/** The characters of an SVG path. */
const path = /^[Mm][-\d.,\sMmLlHhVvCcSsQqTtAaZz]+$/;

/**
 * Replaces icon and text of the launcher.
 * @param {HTMLElement|null} launcher
 * @param {Record<string, string>} settings
 */
export async function dress(launcher, settings) {
  if (!launcher) return;
  const text = plain(settings.label ?? "");
  const label = launcher.querySelector("span.text") ?? launcher.appendChild(Object.assign(document.createElement("span"), { className: "text" }));
  label.textContent = text;
  const { style } = /** @type {HTMLElement} */ (label);
  style.cssText = "grid-area:1/2;font:600 15px system-ui,sans-serif;white-space:nowrap;overflow:hidden;text-overflow:ellipsis";
  Object.assign(launcher.style, text ? { width: "auto", maxWidth: "min(20em, calc(100vw - 40px))", padding: "0 18px 0 14px", borderRadius: "26px", columnGap: "10px", gridTemplateColumns: "26px minmax(0, auto)" } : { width: "", maxWidth: "", padding: "", borderRadius: "", columnGap: "", gridTemplateColumns: "" });
  style.display = text ? "" : "none";
  const sign = await draw(settings.icon, 26);
  if (!sign) return;
  sign.style.gridArea = "1/1";
  launcher.replaceChild(sign, /** @type {Element} */ (launcher.firstElementChild));
}

/**
 * Shows the agent's picture before its name, or removes it.
 * @param {HTMLElement} title
 * @param {string} source
 */
export async function portray(title, source) {
  const picture = source ? await draw(source, 30) : null;
  title.parentElement?.querySelector(".avatar")?.remove();
  if (!picture) return;
  picture.classList.add("avatar");
  picture.style.cssText += ";border-radius:50%;flex:none;margin-inline-end:10px";
  title.before(picture);
}

/**
 * Draws a picture, or a path on a grid of 24 by 24. A page's policy may forbid images; it
 * allows fetches from the relay, and a data: URL is not fetched.
 * @param {string} source
 * @param {number} side in px
 * @returns {Promise<HTMLElement|SVGElement|null>} null if there is none
 */
async function draw(source, side) {
  if (!source) return null;
  if (path.test(source)) return icon(source);
  try {
    const picture = await createImageBitmap(await load(source));
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 2 * side; // for high-density screens
    canvas.style.width = canvas.style.height = `${side}px`;
    const scale = canvas.width / Math.min(picture.width, picture.height);
    const [w, h] = [picture.width * scale, picture.height * scale];
    canvas.getContext("2d")?.drawImage(picture, (canvas.width - w) / 2, (canvas.height - h) / 2, w, h);
    picture.close();
    canvas.ariaHidden = "true";
    return canvas;
  } catch (err) {
    console.warn(`relay-chat: the picture ${source.slice(0, 100)} could not be drawn: ${err}`);
    return null;
  }
}

/** @param {string} source a URL, relative to the page, or data:image/…;base64,… */
async function load(source) {
  const data = /^data:(image\/[a-z]+);base64,(.*)$/i.exec(source);
  if (data) return new Blob([Uint8Array.from(atob(data[2]), (c) => c.charCodeAt(0))], { type: data[1] });
  const res = await fetch(new URL(source, document.baseURI), { credentials: "omit" });
  if (!res.ok) throw new Error(`status ${res.status}`);
  return res.blob();
}
