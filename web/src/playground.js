// @ts-check
// The playground: the controls are the widget's attributes, and the snippet is the
// resulting code. The URL stores them, for a reload or to share.

const form = /** @type {HTMLFormElement} */ (document.getElementById("knobs"));
const place = /** @type {HTMLElement} */ (document.getElementById("place"));
const snippet = /** @type {HTMLElement} */ (document.getElementById("snippet"));
const help = /** @type {HTMLElement} */ (document.getElementById("help"));

/** The controls for CSS properties, in px. */
const properties = ["radius", "font-size"];
/** The controls that the widget reads only at its start. */
const lasting = ["mode", "locale", "launcher", "open", "icon", "label"];

/** @returns {Record<string, string>} the settings that differ from the defaults */
function knobs() {
  /** @type {Record<string, string>} */
  const out = {};
  for (const el of /** @type {Iterable<HTMLInputElement>} */ (/** @type {unknown} */ (form.elements))) {
    if (!el.name) continue;
    const value = el.type === "checkbox" ? (el.checked ? "open" : "") : el.name === "starters" ? el.value.split("\n").map((s) => s.trim()).filter(Boolean).join("|") : el.value.trim();
    if (value && !(el.type === "color" && value === el.defaultValue)) out[el.name] = value;
  }
  if (out.mode) for (const name of ["position", "launcher", "offset-x", "offset-y", "open", "icon", "label", "width", "height"]) delete out[name];
  return out;
}

/** The current widget; null before the first. @type {HTMLElement|null} */
let chat = null;
/** @type {Record<string, string>} */
let shown = {};

/** @param {Record<string, string>} now */
function show(now) {
  help.hidden = now.launcher !== "#help";
  place.className = now.mode ?? "";
  if (!chat || lasting.some((name) => now[name] !== shown[name])) {
    const next = document.createElement("relay-chat");
    dress(next, now);
    place.replaceChildren(next);
    chat = next;
  } else {
    dress(chat, now);
  }
  shown = now;
}

/** @param {HTMLElement} el @param {Record<string, string>} now */
function dress(el, now) {
  for (const name of new Set([...Object.keys(shown), ...Object.keys(now)])) {
    const value = now[name];
    if (properties.includes(name)) el.style.setProperty(`--relay-${name}`, value ? `${value}px` : "");
    else if (value) el.setAttribute(name, name === "open" ? "" : value);
    else el.removeAttribute(name);
  }
}

/** @param {Record<string, string>} now */
function text(now) {
  /** @param {string} s */
  const quoted = (s) => `"${s.replace(/&/g, "&amp;").replace(/"/g, "&quot;").replace(/</g, "&lt;")}"`;
  /** @param {string} prefix */
  const attributes = (prefix) => Object.keys(now).filter((k) => !properties.includes(k)).map((k) => ` ${prefix}${k}${k === "open" ? "" : `=${quoted(now[k])}`}`).join("");
  const style = properties.filter((p) => now[p]).map((p) => `--relay-${p}: ${now[p]}px`).join("; ");
  const src = quoted(form.dataset.src ?? "");
  return [
    ...(style ? [`<style>relay-chat { ${style} }</style>`] : []),
    ...(now.mode ? [`<relay-chat${attributes("")}></relay-chat>`, `<script async src=${src}></script>`] : [`<script async src=${src}${attributes("data-")}></script>`]),
  ].join("\n");
}

function turned() {
  const now = knobs();
  show(now);
  snippet.textContent = text(now);
  /** @type {HTMLElement} */ (document.getElementById("corner")).hidden = !!now.mode;
  history.replaceState(null, "", `#${new URLSearchParams(now)}`);
}

for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
  const el = form.elements.namedItem(name);
  if (el instanceof HTMLInputElement && el.type === "checkbox") el.checked = true;
  else if (el instanceof HTMLInputElement || el instanceof HTMLSelectElement || el instanceof HTMLTextAreaElement) el.value = name === "starters" ? value.split("|").join("\n") : value;
}

form.addEventListener("input", turned);
form.addEventListener("reset", () => setTimeout(turned));
form.addEventListener("submit", (e) => e.preventDefault());
/** @type {HTMLElement} */ (document.getElementById("copy")).addEventListener("click", async () => {
  const said = /** @type {HTMLElement} */ (document.getElementById("said"));
  try {
    await navigator.clipboard.writeText(snippet.textContent ?? "");
    said.textContent = "Copied";
  } catch {
    getSelection()?.selectAllChildren(snippet);
    said.textContent = "Press Ctrl+C to copy";
  }
  setTimeout(() => {
    said.textContent = "";
  }, 3000);
});
turned();
