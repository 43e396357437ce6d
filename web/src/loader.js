// @ts-check
// The one script tag. It defines <relay-chat>, shows the launcher, keeps calls
// made before anything was ready, and fetches the panel when it is wanted.
// A second relay on the page defines <relay-chat-2>, a third <relay-chat-3>;
// the global RelayChat is the first one's.

/** @typedef {import("./mount.js").Controller} Controller */

// The relay writes its settings in place of this text when it serves the file.
/** @type {any} */
const config = "__RELAY_CONFIG__";

const names = "mode position title greeting starters accent theme locale launcher z-index offset-x offset-y open sound icon avatar strings label width height".split(" ");
const methods = "open close toggle send setDraft newConversation identify logout update on off destroy".split(" ");

const script = /** @type {HTMLScriptElement|null} */ (document.currentScript);
const base = new URL(".", script?.src || location.href).href;
const page = /** @type {any} */ (window);
let tag = "relay-chat";

/** @type {Set<RelayChatElement>} */
const elements = new Set();
/** @type {[string, any[]][]} calls that no element could take yet */
let waiting = [];
let isReady = false;
/** The time until all is destroyed. */
let stay = new AbortController();

/** @param {"localStorage"|"sessionStorage"} store @param {string} key */
function stored(store, key) {
  try {
    return window[store].getItem(`relay-chat:${base}:${key}`);
  } catch {
    return null; // storage is forbidden here
  }
}

/** What the launcher looks like; the panel brings the rest. */
const sheet = new CSSStyleSheet();
sheet.replaceSync(`:host{all:initial;display:contents}
:host(:not([mode=popup])){display:block;height:100%}
.launcher,.sorry{all:initial;position:fixed;z-index:var(--z);bottom:calc(var(--oy) + env(safe-area-inset-bottom));left:var(--left);right:var(--right);color:#fff}
.launcher{width:52px;height:52px;border:2px solid #0000;border-radius:50%;background:var(--accent);color:oklch(from var(--accent) clamp(0,(.7 - l)*1000,1) 0 0);display:grid;place-items:center;cursor:pointer;box-shadow:0 4px 24px #0005}
.launcher:hover,[aria-busy=true]{opacity:.8}
.launcher:focus-visible{outline:3px solid var(--accent);outline-offset:3px}
svg{width:26px;grid-area:1/1;fill:none;stroke:currentColor;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}
.sorry{background:#b3261e;font:14px system-ui;margin-bottom:68px;padding:8px 14px;border-radius:10px}
:host([hidden]),[hidden]{display:none}`);

/** The launcher's sign. */
function bubble() {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  const path = document.createElementNS(ns, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  path.setAttribute("d", "M21 12a8 8 0 0 1-8 8H4l2-3a8 8 0 1 1 15-5z");
  svg.append(path);
  return svg;
}

class RelayChatElement extends HTMLElement {
  static observedAttributes = names;
  static base = base;
  static begin = begin;

  /** @type {Promise<Controller>|null} */
  #loading = null;
  /** @type {Controller|null} */
  #panel = null;
  /** @type {HTMLButtonElement|null} */
  #launcher = null;
  /** @type {AbortController|null} of the time in the page */
  #life = null;
  #reflecting = false;
  /** Whether the script made it, and it must outlive a swapped body. */
  own = false;

  connectedCallback() {
    if (this.#life) return;
    // A framework may bring back a copy of the body, with a copy of us in it.
    if (!this.own && this.hasAttribute("data-own")) return this.remove();
    this.#life = new AbortController();
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    if (!this.hasAttribute("mode")) this.#reflect("mode", this.settings().mode || "popup");
    elements.add(this);
    if (this.popup) this.#showLauncher(root);
    this.#look();
    if (this.popup && (this.hasAttribute("open") || (innerWidth > 640 && innerHeight > 480 && stored("sessionStorage", "open")))) this.call("open", [{ quiet: true }]);
    else if (!this.popup || stored("localStorage", "outbox")) this.#load();
    for (const [name, args] of waiting.splice(0)) this.call(name, args);
  }

  disconnectedCallback() {
    // A move within the page, or a framework that swaps the body, puts us back at once.
    setTimeout(() => {
      if (this.isConnected) return;
      if (this.own && document.body) return document.body.append(this);
      this.#leave();
    });
  }

  /** @param {string} name @param {string|null} before @param {string|null} now */
  attributeChangedCallback(name, before, now) {
    if (!this.#life || this.#reflecting || before === now) return;
    if (name === "mode") {
      this.#leave();
      return this.connectedCallback();
    }
    if (name === "open" && this.popup) this.call(now === null ? "close" : "open", [{ quiet: true }]);
    this.#look();
    this.#panel?.refresh();
  }

  get popup() {
    return this.getAttribute("mode") === "popup";
  }

  /** @returns {Record<string, any>} what the attributes, the script tag and the relay say, in this order */
  settings() {
    /** @type {Record<string, any>} */
    const out = {};
    for (const name of names) out[name] = this.getAttribute(name) ?? script?.getAttribute("data-" + name) ?? config[name] ?? "";
    return out;
  }

  /** @param {string} name @param {any[]} args @returns {Promise<any>} */
  async call(name, args) {
    if (name === "destroy") {
      this.own = false;
      this.remove();
      this.#leave();
      if (!elements.size) end();
      return;
    }
    if (name === "close" && !this.#panel) return this.#reflect("open", null);
    if (name === "toggle") name = this.hasAttribute("open") ? "close" : "open";
    return (await this.#load())?.call(name, args);
  }

  /** @param {string} name @param {string|null} value */
  #reflect(name, value) {
    this.#reflecting = true;
    if (value === null) this.removeAttribute(name);
    else this.setAttribute(name, value);
    this.#reflecting = false;
  }

  /** @param {ShadowRoot} root */
  #showLauncher(root) {
    /** @type {any} */
    const button = document.createElement("button");
    this.#launcher = button;
    button.className = button.part = "launcher";
    button.ariaExpanded = "false";
    button.append(bubble());
    root.append(button);
    // Whoever comes near will probably open it.
    button.onpointerenter = button.onfocus = () => this.#fetch().catch(() => {});
    const toggle = () => this.call("toggle", []);
    button.onclick = toggle;
    const { launcher } = this.settings();
    if (/^[.#[]/.test(launcher)) {
      document.addEventListener("click", (e) => /** @type {Element} */ (e.target).closest?.(launcher) && toggle(), { signal: this.#life?.signal });
    }
  }

  /** Brings launcher and place in line with the settings. */
  #look() {
    const s = this.settings();
    /** @param {string} v */
    const length = (v) => (CSS.supports("width", v) ? v : `${parseInt(v) || 20}px`);
    const root = /** @type {ShadowRoot} */ (this.shadowRoot);
    const side = /left/.test(s.position);
    const set = {
      "--accent": CSS.supports("color", s.accent) ? s.accent : "#2d5bd1",
      "--z": parseInt(s["z-index"]) || 2147483000,
      "--ox": length(s["offset-x"]),
      "--left": side ? "var(--ox)" : "auto",
      "--right": side ? "auto" : "var(--ox)",
      "--oy": length(s["offset-y"]),
    };
    for (const el of /** @type {HTMLCollectionOf<HTMLElement>} */ (root.children)) {
      for (const k in set) el.style.setProperty(k, String(set[/** @type {keyof typeof set} */ (k)]));
    }
    if (!this.#launcher) return;
    this.#launcher.hidden = !/^(auto)?$/.test(s.launcher);
    this.#launcher.ariaLabel = s.label || s.title || "Chat";
    if (s.icon || s.label) this.#fetch("brand").then((m) => m.dress(this.#launcher, s)).catch(() => {});
  }

  #fetch(part = "panel") {
    return import(new URL((config.panel || "panel.js").replace("panel", part), base).href);
  }

  /** @returns {Promise<Controller|void>} */
  async #load() {
    const life = this.#life;
    if (!life) return;
    const button = this.#launcher ?? this;
    button.ariaBusy = "true";
    try {
      this.#loading ??= this.#fetch().then((m) => m.mount(this, { base, config, reflect: this.#reflect.bind(this) }));
      const panel = await this.#loading;
      if (life !== this.#life) return;
      if (!this.#panel) {
        this.#panel = panel;
        this.#look();
        isReady = true;
        this.emit("ready", {});
      }
      return panel;
    } catch (err) {
      this.#loading = null;
      const sorry = document.createElement("div");
      sorry.className = "sorry";
      sorry.role = "alert";
      sorry.textContent = "The chat could not be loaded.";
      this.shadowRoot?.append(sorry);
      this.#look();
      setTimeout(() => sorry.remove(), 8000);
      this.emit("error", { code: "load_failed", message: String(err) });
    } finally {
      button.ariaBusy = null;
    }
  }

  #leave() {
    this.#life?.abort();
    this.#life = null;
    void this.#loading?.then((p) => p.destroy());
    this.#loading = this.#panel = this.#launcher = null;
    this.shadowRoot?.replaceChildren();
    elements.delete(this);
  }

  /** @param {string} name @param {any} detail @param {boolean} [cancelable] @returns {boolean} false when cancelled */
  emit(name, detail, cancelable = false) {
    return this.dispatchEvent(new CustomEvent("relay-chat:" + name, { detail, bubbles: true, composed: true, cancelable }));
  }
}

/** @type {Map<Function, EventListener>} */
const handlers = new Map();

/** @param {string} name @param {any[]} args @param {RelayChatElement} [el] who is meant, if somebody is */
function run(name, args, el) {
  if (name === "on" || name === "off") return listen(name, args[0], args[1]);
  const all = el ? [el] : [...elements];
  if (!all.length) waiting.push([name, args]);
  if (name === "destroy") for (const each of all) each.call(name, args);
  else return all[0]?.call(name, args);
}

/** @param {string} how on or off @param {string} name @param {(detail: any) => void} fn */
function listen(how, name, fn) {
  // Another relay's events pass here, too.
  const handler = handlers.get(fn) ?? ((/** @type {any} */ e) => elements.has(e.target) && fn(e.detail));
  handlers.set(fn, handler);
  document[/** @type {"addEventListener"} */ ((how === "on" ? "add" : "remove") + "EventListener")](`relay-chat:${name}`, handler, stay);
  if (how === "on" && name === "ready" && isReady) setTimeout(fn, 0, {});
}

/** Puts the global and the element in place, again after all was destroyed. */
function begin() {
  const early = page.RelayChat;
  if (!early?.loaded) {
    page.RelayChat = api;
    if (early) api.push(...early);
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", appear);
  else appear();
}

function appear() {
  if (document.querySelector(tag)) return;
  const el = /** @type {RelayChatElement} */ (document.createElement(tag));
  el.own = true;
  for (const { name, value } of script?.attributes ?? []) {
    if (/^data-/.test(name)) el.setAttribute(name.slice(5), value);
  }
  el.dataset.own = "";
  document.body.append(el);
}

/** What is left after the last element: nothing but the name of the element, which can't be undone. */
function end() {
  stay.abort();
  stay = new AbortController();
  handlers.clear();
  isReady = false;
  if (page.RelayChat === api) delete page.RelayChat;
}

// RelayChat = RelayChat || []; RelayChat.push(["open", {…}]) works before and after.
/** @type {Record<string, any>} */
const api = { loaded: true, push: (/** @type {any[][]} */ ...calls) => calls.forEach(([name, ...args]) => methods.includes(name) && run(name, args)) };
for (const name of methods) {
  api[name] = (/** @type {any[]} */ ...args) => run(name, args);
  /** @type {any} */ (RelayChatElement.prototype)[name] = /** @this {RelayChatElement} @param {any[]} args */ function (...args) {
    return run(name, args, this);
  };
}

/** @type {any} */
let other;
for (let n = 2; (other = customElements.get(tag)) && other.base !== base; n++) tag = "relay-chat-" + n;
if (!other) customElements.define(tag, RelayChatElement);
(other ?? RelayChatElement).begin();
