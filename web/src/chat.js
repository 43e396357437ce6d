// @ts-check
// What outlasts a panel. Another language or mode takes another panel, and the visitor and
// the page must not lose anything with the former one: for example the page's context, the
// identity, files that are not sent yet, and a running turn.
import { Client } from "../../clients/js/src/client.js";
import { Conversation } from "../../clients/js/src/conversation.js";
import * as delivery from "../../clients/js/src/deliver.js";
import { filesPart, part } from "./part.js";
import { Share } from "../../clients/js/src/share.js";
import { Storage } from "../../clients/js/src/storage.js";
import { say, teach } from "./strings.js";
import { Times } from "./times.js";
import { Unread } from "./unread.js";

/** One stream for all tabs with this build of the panel. */
class Tabs extends Share {
  /** @param {Client} client @param {ConstructorParameters<typeof Share>[1]} to */
  constructor(client, to) {
    super(client, to, import.meta.url);
  }
}

/** An element's chat, from its first panel until the element is removed. */
export class Chat {
  /** @type {import("./panel.js").Panel|undefined} */
  panel;
  /** @type {import("./composer.js").Composer|undefined} */
  composer;
  /** What the page and screen readers have been told. @type {Set<string>} */
  told = new Set();
  unread = new Unread();

  /** @param {import("./mount.js").Loan} loan */
  constructor({ base, fetch }) {
    this.storage = new Storage(base);
    const client = new Client(base, this.storage, fetch);
    const learn = async (/** @type {any} */ problem) => Object.assign(problem, await (await part("trouble")).examine(problem, base, client.fetch, { say, teach }));
    client.examine = (problem) => learn(problem).catch(() => problem); // the diagnosis is loaded from the relay too
    this.client = client;
    // The panel sets what the conversation reports to.
    this.conversation = new Conversation(client, this.storage, /** @type {any} */ (null), { files: filesPart, delivery: async () => delivery, solver: () => part("challenge") }, Tabs);
    this.times = new Times(this.storage);
  }

  close() {
    this.panel?.destroy();
    this.conversation.close();
    this.unread.destroy();
  }
}
