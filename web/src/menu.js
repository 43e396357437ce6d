// @ts-check
// Rarely used actions: earlier conversations, a download of all, and deleting this one.
// The panel loads this with the menu.
import { menuWords } from "./words.js";

/** @typedef {import("../../clients/js/src/more.js").Past} Past */

/**
 * The parts of the panel that this module uses.
 * @typedef {object} Kit
 * @property {typeof import("./h.js").h} h
 * @property {typeof import("./strings.js").say} say
 * @property {typeof import("./strings.js").teach} teach
 * @property {number} epoch of the current conversation, 0 without one
 * @property {string} locale
 * @property {(text: string) => void} announce
 * @property {(name: string, ...args: any[]) => Promise<boolean>} act
 * @property {(name: string, ...args: any[]) => Promise<any>} get
 * @property {(err: unknown) => void} failed shows the visitor an error
 * @property {(epoch: number) => Promise<HTMLElement>} read
 * @property {(words: {ask: "eraseAsk", yes: "eraseYes"}, yes: () => void) => void} ask
 */

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
.menu{position:absolute;z-index:1;top:54px;inset-inline-end:10px;min-width:200px;max-width:calc(100% - 20px);padding:6px;background:var(--bg);border:1px solid var(--line);border-radius:14px;box-shadow:0 8px 28px #0f172930;animation:in .15s}
.menu button{display:block;width:100%;padding:9px 12px;border-radius:9px}
.menu button:hover,.list button:hover{background:var(--soft)}
.past{position:absolute;z-index:1;inset:0;display:flex;flex-direction:column;background:var(--bg);animation:in .15s}
.past .head{padding-inline-start:16px;gap:14px}
.list{flex:1;overflow-y:auto;margin:0;padding:10px;list-style:none}
.list button{display:block;width:100%;padding:10px 12px;border-radius:12px}
.list b{display:block;font-weight:500;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.list small,.list p{color:var(--muted)}
`);

/**
 * Opens the menu.
 * @param {import("./frame.js").Frame} frame
 * @param {Kit} kit
 */
export function open(frame, kit) {
  const { h, say } = kit;
  kit.teach(menuWords);
  const root = frame.root.getRootNode();
  if (root instanceof ShadowRoot && !root.adoptedStyleSheets.includes(sheet)) root.adoptedStyleSheets.push(sheet);
  if (frame.more.ariaExpanded === "true") return frame.layer?.();
  const life = new AbortController();
  const close = (focus = true) => {
    life.abort();
    menu.remove();
    frame.more.ariaExpanded = "false";
    frame.layer = null;
    if (focus) frame.more.focus();
  };
  /** @param {"earlier"|"download"|"erase"} word @param {() => void} act */
  const item = (word, act) => h("button", { role: "menuitem", tabindex: -1, onclick: () => (close(word !== "earlier" && word !== "erase"), act()) }, say(word));
  const menu = h("div", { class: "menu", role: "menu", "aria-label": say("more") }, item("earlier", () => void list(frame, kit)), item("download", () => void save(kit)), kit.epoch ? item("erase", () => erase(kit)) : null);
  menu.addEventListener("keydown", (e) => {
    const items = /** @type {HTMLElement[]} */ ([...menu.children]);
    const at = items.indexOf(/** @type {HTMLElement} */ (e.target));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[e.key];
    if (e.key === "Tab") close(false);
    if (to === undefined) return;
    e.preventDefault();
    items.at(to % items.length)?.focus();
  });
  frame.cover(close);
  frame.root.append(menu);
  frame.root.addEventListener("pointerdown", (e) => !e.composedPath().some((n) => n === menu || n === frame.more) && close(false), { signal: life.signal });
  frame.more.ariaExpanded = "true";
  /** @type {HTMLElement} */ (menu.firstElementChild).focus();
}

/** @param {Kit} kit */
function erase({ ask, act, epoch, announce, say }) {
  ask({ ask: "eraseAsk", yes: "eraseYes" }, async () => {
    if (await act("erase", epoch)) announce(say("erased"));
  });
}

/** @param {Kit} kit */
async function save({ h, get, failed }) {
  /** @type {Blob|undefined} */
  const file = await get("download").catch(failed);
  if (!file) return;
  const url = URL.createObjectURL(file);
  h("a", { href: url, download: "conversations.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/**
 * Lists the conversations, and shows one.
 * @param {import("./frame.js").Frame} frame
 * @param {Kit} kit
 */
async function list(frame, kit) {
  const { h, say, get, failed, read } = kit;
  let left = false;
  frame.leavePast = () => void (left = true);
  /** @type {Past[]|undefined} */
  const all = await get("conversations").catch(failed);
  if (!all) return frame.more.focus();
  if (left) return;
  const title = h("h2", { tabindex: -1, id: "past" });
  const back = h("button", { class: "link" }, say("back"));
  const pane = h("div", { class: "past", role: "dialog", "aria-labelledby": "past" }, h("div", { class: "head" }, back, title));
  let shown = 0;
  const close = () => {
    shown++;
    pane.remove();
    for (const el of covered) /** @type {HTMLElement} */ (el).inert = false;
    frame.layer = frame.leavePast = null;
    frame.more.focus();
  };
  frame.cover(close);
  frame.leavePast = close;
  const covered = Array.from(frame.root.children).filter((el) => el instanceof HTMLElement && !el.matches("[role=status],[role=alert]"));
  for (const el of covered) /** @type {HTMLElement} */ (el).inert = true;
  /** @param {string} name @param {HTMLElement} body @param {() => void} leave */
  const show = (name, body, leave) => {
    shown++;
    title.textContent = name;
    pane.replaceChildren(/** @type {Node} */ (pane.firstChild), body);
    back.onclick = frame.layer = leave;
    title.focus();
  };
  const date = new Intl.DateTimeFormat(kit.locale, { dateStyle: "medium", timeStyle: "short" });
  const overview = () => {
    const past = all.filter((c) => !c.current);
    const rows = past.map((c) =>
      h("li", {}, h("button", { onclick: async () => {
        const asked = ++shown;
        /** @type {unknown} */
        let problem;
        const past = await read(c.epoch).catch((err) => void (problem = err));
        if (asked !== shown) return; // the visitor has moved on
        if (past) return show(c.title || say("untitled"), past, overview);
        close();
        failed(problem);
      } }, h("b", { dir: "auto" }, c.title || say("untitled")), h("small", {}, date.format(new Date(c.last_active_at))))));
    show(say("earlier"), h("ul", { class: "list" }, ...(rows.length ? rows : [h("li", {}, h("p", {}, say("noEarlier")))])), close);
  };
  frame.root.append(pane);
  overview();
}
