// @ts-check
// The one script tag. It defines <relay-chat>, shows the launcher, keeps calls
// made before anything was ready, and fetches the panel when it is wanted.

/** @typedef {import("./panel.js").Controller} Controller */

// The relay writes its settings in place of this text when it serves the file.
/** @type {any} */
const config = "__RELAY_CONFIG__";

const names = "mode position title greeting starters accent theme locale launcher z-index offset-x offset-y open".split(" ");
const methods = "open close toggle send setDraft newConversation identify logout update on off destroy".split(" ");

const script = /** @type {HTMLScriptElement|null} */ (document.currentScript);
const base = new URL(".", script?.src || location.href).href;
const page = /** @type {any} */ (window);
const early = page.RelayChat;

/** @type {Set<RelayChatElement>} */
const elements = new Set();
/** @type {[string, any[]][]} calls that no element could take yet */
let waiting = [];
let isReady = false;

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
sheet.replaceSync(`:host{all:initial;display:block;height:100%}
:host([mode=popup]){display:contents}
:host([hidden]),.launcher[hidden]{display:none}
.launcher,.sorry{all:unset;box-sizing:border-box;position:fixed;z-index:var(--z);bottom:calc(var(--oy) + env(safe-area-inset-bottom));left:var(--left);right:var(--right)}
.launcher{width:56px;height:56px;border-radius:50%;background:var(--accent);color:oklch(from var(--accent) clamp(0,(.7 - l)*1000,1) 0 0);display:grid;place-items:center;cursor:pointer;box-shadow:0 2px 4px #0003,0 8px 24px #0003}
.launcher:hover{transform:translateY(-2px)}
.launcher:focus-visible{outline:3px solid var(--accent);outline-offset:3px}
svg{width:26px;grid-area:1/1;fill:none;stroke:currentColor;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}
.sorry{background:#b3261e;color:#fff;font:14px system-ui;margin-bottom:68px;padding:8px 14px;border-radius:10px}
@keyframes wait{to{opacity:.35}}
@media (prefers-reduced-motion:no-preference){.launcher{transition:transform .18s}[aria-busy=true] svg{animation:wait 1s infinite alternate}}
@media (forced-colors:active){.launcher{border:2px solid}}`);

/** The launcher's sign. */
function bubble() {
  /** @param {string} tag @param {string} name @param {string} value */
  const make = (tag, name, value) => {
    const el = document.createElementNS("http://www.w3.org/2000/svg", tag);
    el.setAttribute(name, value);
    return el;
  };
  const svg = make("svg", "viewBox", "0 0 24 24");
  svg.append(make("path", "d", "M21 12a8 8 0 0 1-8 8H4l2-3a8 8 0 1 1 15-5z"));
  return svg;
}

class RelayChatElement extends HTMLElement {
  static observedAttributes = names;

  /** @type {Promise<Controller>|null} */
  #loading = null;
  /** @type {Controller|null} */
  #panel = null;
  /** @type {HTMLButtonElement|null} */
  #launcher = null;
  /** @type {AbortController|null} of the time in the page */
  #life = null;
  #gone = false;
  #reflecting = false;
  /** Whether the script made it, and it must outlive a swapped body. */
  own = false;

  connectedCallback() {
    if (this.#life) return;
    this.#life = new AbortController();
    this.#gone = false;
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    if (!this.hasAttribute("mode")) this.#reflect("mode", String(this.settings().mode || "popup"));
    elements.add(this);
    if (this.popup) this.#showLauncher(root);
    else this.#load();
    this.#look();
    if (this.popup && (this.hasAttribute("open") || (innerWidth > 640 && stored("sessionStorage", "open")))) this.call("open", [{ quiet: true }]);
    else if (this.popup && stored("localStorage", "outbox")) this.#load();
    for (const [name, args] of waiting.splice(0)) this.call(name, args);
  }

  disconnectedCallback() {
    // A move within the page, or a framework that swaps the body, puts us back at once.
    setTimeout(() => {
      if (this.isConnected) return;
      if (this.own && !this.#gone && document.body) return document.body.append(this);
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
    if (/^o(n|ff)$/.test(name)) return run(name, args);
    if (name === "destroy") {
      this.#gone = true;
      this.remove();
      return this.#leave();
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
    const button = document.createElement("button");
    this.#launcher = button;
    button.type = "button";
    button.className = "launcher";
    button.setAttribute("part", "launcher");
    button.ariaExpanded = "false";
    button.append(bubble());
    root.append(button);
    // Whoever comes near will probably open it.
    for (const near of ["pointerenter", "focus"]) button.addEventListener(near, () => this.#fetch().catch(() => {}), { once: true });
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
    const length = (v) => (CSS.supports("width", v) ? v : `${parseInt(v, 10) || 20}px`);
    const root = /** @type {ShadowRoot} */ (this.shadowRoot);
    const side = /left/.test(s.position);
    const set = {
      "--accent": CSS.supports("color", s.accent) ? s.accent : "#2d5bd1",
      "--z": parseInt(s["z-index"], 10) || 2147483000,
      "--ox": length(s["offset-x"]),
      "--left": side ? "var(--ox)" : "auto",
      "--right": side ? "auto" : "var(--ox)",
      "--oy": length(s["offset-y"]),
    };
    for (const el of /** @type {HTMLCollectionOf<HTMLElement>} */ (root.children)) {
      for (const k in set) el.style.setProperty(k, String(set[/** @type {keyof typeof set} */ (k)]));
    }
    if (!this.#launcher) return;
    this.#launcher.hidden = s.launcher !== "" && s.launcher !== "auto";
    this.#launcher.ariaLabel = s.title || "Chat";
  }

  #fetch() {
    return import(new URL(config.panel || "panel.js", base).href);
  }

  /** @returns {Promise<Controller|null>} */
  async #load() {
    const life = this.#life;
    if (!life) return null;
    const button = this.#launcher ?? this;
    button.ariaBusy = "true";
    try {
      this.#loading ??= this.#fetch().then((m) => m.mount(this, this.#shell()));
      const panel = await this.#loading;
      if (life !== this.#life) return null;
      if (!this.#panel) {
        this.#panel = panel;
        this.#look();
        isReady = true;
        this.emit("ready", {});
      }
      return panel;
    } catch (err) {
      this.#loading = null;
      this.#sorry();
      this.emit("error", { code: "load_failed", message: String(err) });
      return null;
    } finally {
      button.ariaBusy = null;
    }
  }

  /** Tells the visitor that the panel could not be fetched. */
  #sorry() {
    const p = document.createElement("div");
    p.className = "sorry";
    p.role = "alert";
    p.textContent = "The chat could not be loaded. Please try again.";
    this.shadowRoot?.append(p);
    this.#look();
    setTimeout(() => p.remove(), 8000);
  }

  /** What the panel gets from us. */
  #shell() {
    return {
      base,
      names,
      config,
      root: /** @type {ShadowRoot} */ (this.shadowRoot),
      launcher: this.#launcher,
      settings: () => this.settings(),
      emit: this.emit.bind(this),
      reflect: this.#reflect.bind(this),
    };
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

/** @param {string} name @param {any[]} args */
function run(name, args) {
  if (/^o(n|ff)$/.test(name)) return listen(name, args[0], args[1]);
  const [first] = elements;
  if (first) return first.call(name, args);
  waiting.push([name, args]);
}

/** @param {string} how on or off @param {string} name @param {(detail: any) => void} fn */
function listen(how, name, fn) {
  const handler = handlers.get(fn) ?? ((/** @type {any} */ e) => fn(e.detail));
  handlers.set(fn, handler);
  document[how === "on" ? "addEventListener" : "removeEventListener"](`relay-chat:${name}`, handler);
  if (how === "on" && name === "ready" && isReady) queueMicrotask(() => fn({}));
}

function begin() {
  if (!document.querySelector("relay-chat")) {
    const el = /** @type {RelayChatElement} */ (document.createElement("relay-chat"));
    el.own = true;
    for (const { name, value } of script?.attributes ?? []) {
      if (/^data-/.test(name)) el.setAttribute(name.slice(5), value);
    }
    document.body.append(el);
  }
}

if (!customElements.get("relay-chat") && !early?.loaded) {
  customElements.define("relay-chat", RelayChatElement);
  /** @type {Record<string, any>} */
  const api = { loaded: true };
  for (const name of methods) {
    api[name] = (/** @type {any[]} */ ...args) => run(name, args);
    /** @type {any} */ (RelayChatElement.prototype)[name] = /** @this {RelayChatElement} @param {any[]} args */ function (...args) {
      return this.call(name, args);
    };
  }
  // RelayChat = RelayChat || []; RelayChat.push(["open", {…}]) works before and after.
  api.push = (/** @type {any[][]} */ ...calls) => calls.forEach(([name, ...args]) => methods.includes(name) && run(name, args));
  page.RelayChat = api;
  if (Array.isArray(early)) api.push(...early);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
}
