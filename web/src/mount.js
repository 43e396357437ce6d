// @ts-check
// The entry point that the loader imports: it puts the panel into the element, in the
// right language, and removes it again.
import { Chat } from "./chat.js";
import { doc } from "../../clients/js/src/doc.js";
import { Panel } from "./panel.js";
import { learn } from "./strings.js";

/**
 * What the loader passes to the panel.
 * @typedef {object} Loan
 * @property {string} base
 * @property {any} config the settings that the relay wrote into the loader
 * @property {typeof fetch} [fetch] from the time when the page loaded the loader
 * @property {(name: string, value: string|null) => void} reflect sets an attribute of the element
 */

/**
 * The panel's environment.
 * @typedef {object} Around
 * @property {ShadowRoot} root
 * @property {HTMLButtonElement|null} launcher
 * @property {() => Record<string, any>} settings
 * @property {(name: string, detail: any, cancelable?: boolean) => boolean} emit
 */

/** @typedef {Loan & Around} Shell */

/**
 * What the loader receives.
 * @typedef {object} Controller
 * @property {(name: string, args: any[]) => any} call
 * @property {() => void} refresh settings have changed
 * @property {() => void} destroy
 */

/** @type {WeakMap<HTMLElement, Chat>} */
const chats = new WeakMap();

/**
 * Puts the panel into the element, in its language: the setting's, otherwise the page's,
 * otherwise the browser's.
 * @param {HTMLElement & Pick<Around, "settings"|"emit">} el
 * @param {Loan} loan
 * @returns {Promise<Controller>}
 */
export async function mount(el, loan) {
  const root = /** @type {ShadowRoot} */ (el.shadowRoot);
  const chat = chats.get(el) ?? new Chat(loan);
  chats.set(el, chat);
  const speak = () => learn([el.settings().locale, (el.closest("[lang]") ?? doc.documentElement).getAttribute("lang"), ...navigator.languages], el.settings().strings);
  const renew = () => {
    chat.panel?.destroy();
    return (chat.panel = new Panel(el, { ...loan, root, launcher: root.querySelector("button"), settings: () => el.settings(), emit: (...event) => el.emit(...event) }, chat));
  };
  await speak();
  renew();
  return {
    call: (name, args) => chat.panel?.call(name, args),
    async refresh() {
      chat.panel?.refresh();
      if (!(await speak()) || !chat.panel || chats.get(el) !== chat) return;
      const focused = /** @type {HTMLElement|null} */ (root.activeElement);
      const { cssText } = chat.panel.root.style; // also has what the loader sets
      renew().root.style.cssText = cssText;
      if (focused?.isConnected) focused.focus({ preventScroll: true });
    },
    destroy() {
      if (el.isConnected) return; // in another mode: its next panel replaces this one
      chat.close();
      chats.delete(el);
    },
  };
}
