// @ts-check
// Visitors' actions besides sending: attach files, consent, rate, read earlier
// conversations, start a new one, download or delete. Each part is loaded on first use.
import { Problem } from "../../clients/js/src/client.js";
import { read } from "../../clients/js/src/read.js";
import { failedBy } from "./ended.js";
import { h, icon } from "./h.js";
import { filesPart, part } from "./part.js";
import { plain, short } from "./plain.js";
import { locale, reason, say, teach } from "./strings.js";

/** Carries out a visitor's actions, and shows errors. */
export class Wishes {
  /**
   * @param {import("../../clients/js/src/conversation.js").Conversation} conversation
   * @param {import("./composer.js").Composer} composer
   * @param {import("./frame.js").Frame} frame
   * @param {import("./announcer.js").Announcer} announcer
   * @param {() => import("./transcript.js").Transcript} past creates an empty transcript for an earlier conversation
   */
  constructor(conversation, composer, frame, announcer, past) {
    this.conversation = conversation;
    this.client = conversation.client;
    this.composer = composer;
    this.frame = frame;
    this.announcer = announcer;
    this.past = past;
  }

  /** Number of layers requested. */
  #asked = 0;

  /** Loads the part that shows a layer. A layer that loads after another was requested is not shown. @param {string} name */
  async #layer(name) {
    const asked = ++this.#asked;
    const loaded = await part(name);
    return asked === this.#asked ? loaded : null;
  }

  /** What the parts receive. */
  get kit() {
    return { composer: this.composer, files: this.composer.files, h, icon, say, teach, plain, short };
  }

  /** @param {string} text "" removes the last error */
  complain(text) {
    this.frame.complain(text);
    if (text) this.announcer.warn(text);
  }

  /** Shows the visitor an error. @param {unknown} err */
  failed(err) {
    this.complain(say("actionFailed", { why: err instanceof Problem ? reason(err) || err.code : String(err) }));
  }

  /** Runs a rarely used action. @param {string} name @param {any[]} args */
  async more(name, ...args) {
    return (await part("more"))[name](this.conversation, ...args);
  }

  /** The same, with a message to the visitor if it fails; returns whether it succeeded. @param {string} name @param {any[]} args */
  async act(name, ...args) {
    try {
      await this.more(name, ...args);
      return true;
    } catch (err) {
      this.failed(err);
      return false;
    }
  }

  /**
   * Attaches files, and shows errors; returns whether there were none.
   * @param {(part: typeof import("./files.js"), kit: import("./files.js").Kit) => Promise<string|void>} act returns the errors
   */
  async add(act) {
    const { kit } = this;
    const done = this.composer.prepare();
    let ok = false;
    this.complain(""); // not later, because that could remove an error of files chosen meanwhile
    try {
      const faults = await act(await filesPart(), kit);
      if (faults) this.complain(faults);
      ok = !faults;
    } catch (err) {
      this.failed(err);
    }
    done(ok);
    return ok;
  }

  /** Attaches the files that may be sent. @param {Iterable<File>} files */
  attach(files) {
    return this.add(async (part, kit) => {
      await this.client.meet();
      return part.attach(files, this.client.limits, kit);
    });
  }

  /** Turns whose message is being returned to the composer. @type {Set<string>} */
  #edited = new Set();

  /** Returns an unsent message to the composer. A second click does not attach its files twice. @param {import("./rows.js").Pending} unsent */
  async edit({ turn, text, attachments }) {
    if (this.#edited.has(turn)) return;
    this.#edited.add(turn);
    this.composer.restore(text);
    this.composer.field.focus();
    const whole = !attachments.length || (await this.add(async (part, kit) => part.show((await part.recall(turn)) ?? [], kit)));
    this.#edited.delete(turn);
    if (whole) this.conversation.drop(turn);
  }

  /** Sends the message of a failed turn again. @param {import("./ended.js").Item} end */
  again(end) {
    const { view, outbox: { last } } = this.conversation;
    const said = failedBy(view.items, end);
    if (!said) return;
    const here = said.turn === last.turn;
    if (here || !said.attachments?.length) return this.composer.to.onSend(said.text, here ? last.files : []);
    // They were lost with the page that sent them; the visitor still has them.
    this.composer.restore(said.text);
    this.complain(say("filesLost"));
  }

  /** Whether the relay requires a consent that it does not have. */
  get unagreed() {
    const { consent } = this.client.introduction ?? {};
    return !!consent && !consent.given_at;
  }

  /**
   * Asks for the consent that a message needs. The message is kept in the composer, unless
   * the visitor is writing another one there, which is not sent.
   * @param {string} [text] none if the relay has refused the message
   * @param {import("./composer.js").Attached[]} [files]
   */
  async consent(text, files = []) {
    const { composer } = this;
    if (text && !composer.text.trim() && !composer.files.length && !files.length) composer.text = text;
    const typed = text?.trim() === composer.text.trim();
    try {
      (await this.#layer("consent"))?.ask(this.frame, { ...this.kit, introduction: this.client.introduction }, async () => {
        if (!(await this.act("agree"))) return false;
        if (typed) composer.el.requestSubmit();
        else if (text !== undefined) composer.to.onSend(text, files);
        return true;
      }, () => composer.field.focus());
    } catch (err) {
      this.failed(err);
    }
  }

  /** @param {string} turn @param {"up"|"down"|null} rating @param {HTMLElement} place */
  async rate(turn, rating, place) {
    if (!(await this.act("feedback", turn, rating))) return;
    (await part("rate")).comment(place, { ...this.kit, announce: (/** @type {string} */ text) => this.announcer.say(text) }, rating, (/** @type {string} */ text) => this.act("feedback", turn, rating, text));
  }

  /** Opens the menu. */
  async menu() {
    try {
      const { view } = this.conversation;
      (await this.#layer("menu"))?.open(this.frame, {
        ...this.kit,
        epoch: view.items.length ? view.epoch : 0,
        locale,
        announce: (/** @type {string} */ text) => this.announcer.say(text),
        act: (/** @type {string} */ name, /** @type {any[]} */ ...args) => this.act(name, ...args),
        get: (/** @type {string} */ name, /** @type {any[]} */ ...args) => this.more(name, ...args),
        failed: (/** @type {unknown} */ err) => this.failed(err),
        read: (/** @type {number} */ epoch) => this.#earlier(epoch),
        ask: async (/** @type {any} */ words, /** @type {() => void} */ yes) => (await this.#layer("fresh"))?.ask(this.frame, this.kit, yes, this.frame.more, words),
      });
    } catch (err) {
      this.failed(err);
    }
  }

  /** Returns an earlier conversation for display. @param {number} epoch */
  async #earlier(epoch) {
    const view = await read(this.conversation, epoch);
    const shown = this.past();
    const paint = () => shown.render(view) && setTimeout(paint, 16);
    shown.acts.renew = () => {
      shown.renew();
      paint();
    };
    paint();
    return shown.log;
  }

  /** Starts another conversation after confirmation. */
  async fresh() {
    try {
      (await this.#layer("fresh"))?.ask(this.frame, this.kit, () => {
        this.composer.field.focus({ preventScroll: true });
        void this.act("newConversation");
      }, this.frame.fresh);
    } catch (err) {
      this.failed(err);
    }
  }
}
