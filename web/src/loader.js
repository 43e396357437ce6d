// @ts-check
// The script of the tag. It defines <relay-chat>, shows the launcher, queues calls made
// before the panel is ready, and fetches the panel when it is needed. A second relay on
// the page defines <relay-chat-2>, a third <relay-chat-3>; the global RelayChat belongs
// to the first.

import { doc } from "../../clients/js/src/doc.js";

/** @typedef {import("./mount.js").Controller} Controller */

// The relay replaces this text by its settings when it serves the file.
/** @type {any} */
const config = { __proto__: null, .../** @type {any} */ ("__RELAY_CONFIG__") };

// The orders of these names, and of the styles below, mean nothing: they compress well.
const names = "launcher label mode position z-index accent height locale strings icon open title starters width sound offset-x avatar greeting theme offset-y".split(" ");
const methods = "close newConversation identify on open update toggle setDraft logout setContext send off destroy".split(" ");

// A module, a bundle or a script in a shadow root cannot read its tag. The relay's
// address is then the one in its settings, otherwise the one in the stack trace.
const places = [/** @type {any} */ (doc.currentScript)?.src, config.src, Error().stack].join("\n");
const [base] = /** @type {string[]} */ (places.match(/http\S*\/(?=widget\.js)/) ?? places.match(/http[^\s?]*\//));
const script = doc.currentScript ?? [...doc.scripts].find((s) => s.src.includes(base));
const page = /** @type {any} */ (window);
// Read now: a replacement by the page's scripts may not support streams.
const { fetch } = page;
let tag = "relay-chat";

/** @type {Set<RelayChatElement>} */
const elements = new Set();
/** @type {[string, any[]][]} queued calls for the first element */
let waiting = [];
let isReady = false;
/** Number of failed loads. In Firefox and WebKit an address that failed once fails permanently. */
let failures = 0;
/** @type {Record<string, Set<(detail: any) => void>>} listeners by event */
let listeners = /** @type {any} */ ({ __proto__: null });

/** @param {"localStorage"|"sessionStorage"} store @param {string} key */
function stored(store, key) {
  try {
    return page[store].getItem(`relay-chat:${base}:${key}`);
  } catch {
    return null; // storage is forbidden here
  }
}

/** Styles of the launcher; the panel has the rest. */
const sheet = new CSSStyleSheet();
sheet.replaceSync(`:host{all:initial;display:contents}\
:host(:not([mode=popup])){height:100%;display:block}\
.launcher,.sorry{all:initial;color:oklch(from var(--accent) clamp(0,(.7 - l)*1000,1) 0 0);background:var(--accent);z-index:var(--z);inset:auto var(--right) calc(var(--oy) + env(safe-area-inset-bottom)) var(--left);position:fixed}\
.launcher{width:52px;height:52px;place-items:center;border:2px solid #0000;cursor:pointer;border-radius:50%;display:grid}\
:focus-visible{outline:3px solid var(--accent);outline-offset:3px}\
svg{width:24px;height:24px;stroke-width:2;grid-area:1/1;stroke:currentColor;fill:none}\
.sorry{margin-bottom:68px;padding:8px}\
:host([hidden]),[hidden]{display:none}`);

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
  /** @type {AbortController|null} of the element's time in the page */
  #life = null;
  #reflecting = false;
  /** @type {[string, any[]][]} calls for which the panel could not be loaded, for the next that is */
  #missed = [];
  /** Whether the script created it, so that it must survive a replaced body. */
  own = false;

  connectedCallback() {
    if (this.#life) return;
    // A framework may restore a copy of the body, with a copy of this element in it.
    if (!this.own && this.hasAttribute("data-own")) return this.replaceWith();
    this.#life = new AbortController();
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    if (!this.hasAttribute("mode")) this.#reflect("mode", this.settings().mode || "popup");
    elements.add(this);
    if (this.#popup) this.#showLauncher(root);
    this.#look();
    if (this.#popup && (this.hasAttribute("open") || (stored("sessionStorage", "open") && innerWidth > 640 && innerHeight > 480))) this.act("open", [{ quiet: true }]);
    else if (!this.#popup || stored("localStorage", "outbox")) this.#load();
    for (const [name, args] of waiting.splice(0)) this.act(name, args);
  }

  disconnectedCallback() {
    // A move within the page, or a framework that replaces the body, inserts the element
    // again immediately.
    setTimeout(() => {
      if (this.isConnected) return;
      if (this.own && doc.body) return doc.body.append(this);
      this.#leave();
    });
  }

  /** @param {string} name @param {string|null} before @param {string|null} now */
  attributeChangedCallback(name, before, now) {
    if (!this.#life || this.#reflecting || before === now) return;
    if (name === "mode") {
      const was = this.#loading;
      this.#leave();
      this.connectedCallback();
      if (was) this.#load(); // the conversation goes on, and what happens in it must be shown
      return;
    }
    if (name === "open" && this.#popup) this.act(now === null ? "close" : "open", [{ quiet: true }]);
    this.#look();
    this.#panel?.refresh();
  }

  get #popup() {
    return this.getAttribute("mode") === "popup";
  }

  /** @returns {Record<string, any>} the settings of the attributes, the script tag and the relay, in this order */
  settings() {
    /** @type {Record<string, any>} */
    const out = {};
    for (const name of names) out[name] = this.getAttribute(name) ?? script?.getAttribute("data-" + name) ?? config[name] ?? "";
    return out;
  }

  /** @param {string} name @param {any[]} args @returns {Promise<any>} */
  async act(name, args) {
    if (name === "destroy") {
      this.own = false;
      this.replaceWith();
      this.#leave();
      return elements.size || end();
    }
    if (name === "close" && !this.#loading) return this.#reflect("open", null);
    // While the panel loads, visitors may click again, and still want to open it.
    if (name === "toggle" && !this.#panel) name = "open";
    const panel = await this.#load();
    if (panel) return panel.call(name, args);
    // Visitors who see the error open it again, or no longer want to.
    if (!/open|close/.test(name)) this.#missed.push([name, args]);
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
    const button = doc.createElement("button");
    this.#launcher = button;
    button.className = button.part = "launcher";
    button.ariaExpanded = false;
    const [svg, bubble] = ["svg", "path"].map((tag) => doc.createElementNS("http://www.w3.org/2000/svg", tag));
    bubble.setAttribute("d", "M4 20l2-3a8 8 0 1 1 7 3z");
    svg.append(bubble);
    button.append(svg);
    root.append(button);
    // A visitor whose pointer or focus reaches the button will probably open it.
    button.onpointerenter = button.onfocus = () => this.#fetch().catch(() => failures++);
    const toggle = () => this.act("toggle", []);
    button.onclick = toggle;
    const { launcher } = this.settings();
    if (/^[.#[]/.test(launcher)) {
      // No methods of the target are called: a form's fields may shadow them.
      addEventListener("click", (e) => [...doc.querySelectorAll(launcher)].some((el) => e.composedPath().includes(el)) && toggle(), { signal: this.#life?.signal });
    }
  }

  /** Updates launcher and position from the settings. */
  #look() {
    const s = this.settings();
    /** @param {string} v */
    const length = (v) => (CSS.supports("width", v) ? v : `${parseInt(v) || 20}px`);
    /** @param {string} name @param {any} value */
    const set = (name, value) => {
      for (const el of /** @type {any} */ (this.shadowRoot).children) el.style.setProperty(name, value);
    };
    const [near, far] = /left/.test(s.position) ? ["--left", "--right"] : ["--right", "--left"];
    set("--accent", CSS.supports("color", s.accent) ? s.accent : "#2d5bd1");
    set("--z", parseInt(s["z-index"]) || 2147483000);
    set("--ox", length(s["offset-x"]));
    set("--oy", length(s["offset-y"]));
    set(near, "var(--ox)");
    set(far, "auto");
    if (!this.#launcher) return;
    this.#launcher.hidden = s.launcher && s.launcher !== "auto";
    if (!this.#panel) this.#launcher.ariaLabel = s.label || s.title || "Chat"; // the panel adds the number of unread messages
    if (s.icon + s.label) this.#fetch("brand").then((m) => m.dress(this.#launcher, s), () => {});
  }

  #fetch(part = "panel") {
    return import(base + config.panel.replace("panel", part) + "?" + failures);
  }

  /** @returns {Promise<Controller|void>} */
  async #load() {
    const life = this.#life;
    if (!life) return;
    const button = /** @type {any} */ (this.#launcher ?? this);
    button.ariaBusy = true;
    try {
      this.#loading ??= this.#fetch().then((m) => m.mount(this, { base, config, fetch, reflect: this.#reflect.bind(this) }));
      const panel = await this.#loading;
      if (life !== this.#life) return this.#load();
      if (!this.#panel) {
        this.#panel = panel;
        this.#missed.splice(0).forEach((call) => panel.call(...call));
        this.#look();
        isReady = true;
        this.emit("ready", {});
      }
      return panel;
    } catch (err) {
      this.#loading = null;
      failures++;
      const sorry = doc.createElement("p");
      sorry.className = "sorry";
      sorry.role = "alert";
      sorry.textContent = "The chat could not be loaded.";
      /** @type {ShadowRoot} */ (this.shadowRoot).append(sorry);
      this.#look();
      setTimeout(() => sorry.replaceWith(), 8000);
      this.emit("error", { code: "load_failed", message: `${err}` });
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

  /** @param {string} name @param {any} detail @param {boolean} [cancelable] @returns {boolean} false when canceled */
  emit(name, detail, cancelable) {
    for (const fn of listeners[name] ?? []) queueMicrotask(() => fn(detail)); // their exceptions must not stop the widget
    return this.dispatchEvent(new CustomEvent("relay-chat:" + name, { detail, bubbles: true, composed: true, cancelable }));
  }
}

/** @param {string} name @param {any[]} args @param {RelayChatElement} [el] the target element, if any @returns {any} */
function run(name, args, el) {
  if (name === "on" || name === "off") {
    const [event, fn] = args;
    (listeners[event] ??= new Set())[name === "on" ? "add" : "delete"](fn);
    if (isReady && name + event === "onready") queueMicrotask(() => fn({}));
    return;
  }
  const all = el ? [el] : [...elements];
  if (!all.length) waiting.push([name, args]);
  if (name === "destroy") for (const each of all) each.act(name, args);
  else return all[0]?.act(name, args);
}

/** Installs the global and the element, again after everything was destroyed. */
function begin() {
  const early = page.RelayChat;
  if (early?.loaded !== true) {
    page.RelayChat = api;
    if (Array.isArray(early)) api.push(...early); // otherwise it may be an element with that name
  }
  if (doc.readyState === "loading") addEventListener("DOMContentLoaded", appear);
  else appear();
}

function appear() {
  if (doc.querySelector(tag)) return;
  const el = new RelayChatElement();
  el.own = true;
  for (const { name, value } of script?.attributes ?? []) {
    if (/^data-/.test(name)) el.setAttribute(name.slice(5), value);
  }
  el.setAttribute("data-own", "");
  doc.body.append(el);
}

/** Cleans up after the last element: only the name of the element remains, which cannot be undefined. */
function end() {
  listeners = /** @type {any} */ ({ __proto__: null });
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
