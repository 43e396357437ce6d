// @ts-check
// The entry point that the loader imports: it puts the panel into the element, in the
// right language, and removes it again.
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

/**
 * Puts the panel into the element, in its language: the setting's, otherwise the page's,
 * otherwise the browser's.
 * @param {HTMLElement & Pick<Around, "settings"|"emit">} el
 * @param {Loan} loan
 * @returns {Promise<Controller>}
 */
export async function mount(el, loan) {
  const root = /** @type {ShadowRoot} */ (el.shadowRoot);
  /** @type {Shell} */
  const shell = { ...loan, root, launcher: root.querySelector("button"), settings: () => el.settings(), emit: (...event) => el.emit(...event) };
  const speak = () => learn([shell.settings().locale, (el.closest("[lang]") ?? doc.documentElement).getAttribute("lang"), ...navigator.languages], shell.settings().strings);
  await speak();
  let panel = new Panel(el, shell);
  let gone = false;
  return {
    call: (name, args) => panel.call(name, args),
    async refresh() {
      panel.refresh();
      // Another language needs another panel: the conversation is loaded again.
      if (!(await speak()) || gone) return;
      panel.destroy();
      panel = new Panel(el, shell);
    },
    destroy() {
      gone = true;
      panel.destroy();
    },
  };
}
