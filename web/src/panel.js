// @ts-check
// The panel: the visible chat. It connects the conversation with the transcript, the
// composer and the screen reader.
import { Announcer } from "./announcer.js";
import { Composer } from "./composer.js";
import { copy, copyCode } from "./copy.js";
import { keepFocus } from "./focus.js";
import { Frame } from "./frame.js";
import { icon } from "./h.js";
import { LinkNotice } from "./link.js";
import { dress } from "./look.js";
import { News } from "./news.js";
import { Painter } from "./painter.js";
import { part } from "./part.js";
import { Presence } from "./presence.js";
import { Follow } from "./scroll.js";
import { starters, update, wonder } from "./settings.js";
import { unfinished } from "../../clients/js/src/turns.js";
import { say } from "./strings.js";
import { styles } from "./styles.js";
import { clock } from "./times.js";
import { Transcript, statusOf } from "./transcript.js";
import { followViewport } from "./viewport.js";
import { Wishes } from "./wishes.js";

/** @typedef {import("../../clients/js/src/reduce.js").View} View */
/** @typedef {import("../../clients/js/src/reduce.js").RelayEvent} RelayEvent */
/** @typedef {import("./mount.js").Shell} Shell */

const patience = 300; // ms to wait for a replay before a part of it is shown
const budget = 20; // ms per paint; the rest is left to the next one

const sheet = new CSSStyleSheet();
sheet.replaceSync(styles);

/** The chat in one language and mode. */
export class Panel {
  #life = new AbortController();
  /** @type {ReturnType<typeof setInterval>|undefined} */
  #clock;
  /** @type {Promise<any>|null} ends when the code of the last call is loaded: calls take effect in their order */
  #before = null;
  #avatar = "";

  /** @param {HTMLElement} el @param {Shell} shell @param {import("./chat.js").Chat} chat */
  constructor(el, shell, chat) {
    this.el = el;
    this.shell = shell;
    this.mode = el.getAttribute("mode") ?? "popup";
    this.storage = chat.storage;
    this.client = chat.client;
    this.conversation = chat.conversation;
    this.times = chat.times;
    this.unread = chat.unread;
    this.announcer = new Announcer();
    this.news = new News(this.announcer, (name, detail) => shell.emit(name, detail), () => this.name, chat.told);
    this.conversation.to = {
      onView: (now, before, event) => this.#changed(now, before, event),
      onLink: () => this.#linked(),
      onVisitor: () => this.#introduced(),
    };
    this.transcript = new Transcript(this.#acts(), (text) => {
      this.composer.focus(this.transcript.log); // before the pressed button is hidden
      this.#send(text);
    }, this.times);
    this.composer = new Composer({ onSend: (text, files) => this.#send(text, files), onFiles: (files) => void this.wishes.attach(files), onWait: () => this.announcer.say(say("sending")), onStop: () => this.#stop(), onDraft: (text) => this.#drafted(text) });
    const { log } = this.transcript;
    if (chat.composer) this.composer = chat.composer.follow(this.composer);
    else this.composer.text = this.storage.get("draft") ?? "";
    chat.composer = this.composer;
    this.frame = new Frame(this.mode, { log, composer: this.composer.el, regions: this.announcer.nodes }, {
      close: () => this.presence.hide(true),
      ask: () => void this.wishes.fresh(),
      more: () => void this.wishes.menu(),
      retryNow: () => this.conversation.retryNow(),
      jump: () => {
        this.transcript.log.focus({ preventScroll: true });
        this.follow.toEnd();
      },
    });
    this.root = this.frame.root;
    this.painter = new Painter(() => this.#paint(), this.#life.signal);
    this.presence = new Presence(this.root, this.mode === "popup", shell, this.conversation, this.unread, this.#life.signal);
    this.link = new LinkNotice(this.frame, this.announcer, shell);
    this.wishes = new Wishes(this.conversation, this.composer, this.frame, this.announcer, () => new Transcript({ ...this.#acts(), rates: () => false, time: () => "", again: null }, () => {}, this.times));
    this.#place();
    wonder(el);
    this.follow = new Follow(this.transcript.log, this.transcript.thread, () => this.frame.ahead(!this.follow.stuck), this.#life.signal);
    this.refresh();
    if (this.client.introduction) this.#introduced();
    if (!this.presence.popup || this.presence.open) this.#show({ quiet: true });
    else if (this.storage.get("outbox")) this.conversation.start();
    else if (this.conversation.stream.started) this.presence.rest();
    this.#paint();
  }

  #place() {
    const { signal } = this.#life;
    const { root, launcher } = this.shell;
    root.adoptedStyleSheets = [root.adoptedStyleSheets[0], sheet];
    root.insertBefore(this.root, launcher);
    if (launcher && !launcher.querySelector(".shut")) {
      const shut = icon("close");
      shut.classList.add("shut");
      launcher.append(shut);
    }
    this.root.addEventListener("keydown", (e) => this.#key(e), { signal });
    for (const drag of /** @type {const} */ (["dragover", "dragleave", "drop"])) this.root.addEventListener(drag, (e) => this.#drag(e), { signal });
    this.transcript.log.addEventListener("click", (e) => copyCode(e, this.announcer), { signal });
    followViewport(this.root, signal);
  }

  /** @returns {import("./rows.js").Acts} */
  #acts() {
    return {
      name: () => this.name,
      time: (item) => {
        const at = this.times.at(this.conversation.view, item);
        return at ? clock(at) : "";
      },
      renew: () => {
        this.transcript.renew();
        this.painter.schedule();
      },
      copy: (button, text, shown) => void copy(button, text, shown, this.announcer),
      respond: (id, answer) => void this.wishes.act("respond", id, answer),
      rates: () => !!(this.client.introduction?.feedback ?? this.shell.config.feedback),
      rate: (turn, rating, place) => void this.wishes.rate(turn, rating, place),
      retry: (turn) => this.conversation.outbox.retry(turn),
      retryNow: () => this.conversation.retryNow(),
      edit: (turn) => void this.wishes.edit(turn),
      discard: (turn) => {
        this.conversation.drop(turn.turn);
        this.composer.field.focus();
      },
      again: (end) => this.wishes.again(end),
    };
  }

  get name() {
    return this.shell.settings().title || say("agent");
  }

  /** @param {string} name @param {any[]} args @returns {any} */
  call(name, args) {
    const [first] = args;
    const shows = /open|close|toggle|update/.test(name) && !first?.message; // a click on the launcher waits for nothing
    if (this.#before && !shows) return this.#before.then(() => this.call(name, args));
    switch (name) {
      case "open":
        return this.#show(first ?? {});
      case "close":
        return this.presence.hide(false);
      case "toggle":
        return this.presence.open ? this.presence.hide(false) : this.#show();
      case "send":
        return this.#send(String(first));
      case "setDraft":
        this.composer.text = String(first ?? "");
        return;
      case "update":
        return update(this.el, first ?? {});
      case "identify":
        this.client.identify(first);
        return this.wishes.more("meet");
      case "setContext":
        return this.conversation.setContext(first);
      default: { // newConversation, logout
        if (name === "logout") this.composer.clear();
        const done = this.wishes.more(name);
        this.#before = part("more").catch(() => {}).then(() => (this.#before = null));
        return done;
      }
    }
  }

  refresh() {
    const s = this.shell.settings();
    dress(this.frame, s, this.#avatar, this.el);
    this.#avatar = s.avatar;
    this.unread.show(this.shell);
    this.transcript.welcome(s.greeting || say("greeting"), starters(s.starters));
  }

  destroy() {
    this.announcer.close();
    this.#life.abort();
    clearInterval(this.#clock);
    this.root.replaceWith();
  }

  /** @param {{message?: string, send?: boolean, quiet?: boolean}} [how] quiet: not requested by the visitor now */
  #show({ message, send, quiet = false } = {}) {
    if (!this.presence.show()) return;
    if (message && send) this.#send(message);
    else if (message) this.composer.text = message;
    this.#paint();
    this.composer.fit();
    this.follow.toEnd();
    // A visitor who is typing in the page keeps the focus there.
    if (this.presence.popup && !quiet && !document.activeElement?.matches(":read-write")) this.composer.focus(this.frame.title);
  }

  /** @param {string} text @param {import("./files.js").Attached[]} [files] */
  #send(text, files = []) {
    const max = this.client.limits.max_message;
    const over = max ? new TextEncoder().encode(text).length - max : 0;
    if (over > 0) return this.wishes.complain(say("tooLong", { n: over }));
    if (!text.trim() && !files.length) return;
    if (this.wishes.unagreed) return void this.wishes.consent(text, files);
    this.wishes.complain("");
    this.conversation.send(text, files);
    // A starter or the page may send the text that is in the composer, without its files.
    if (files === this.composer.files) this.composer.clear();
    else if (text === this.composer.text.trim()) this.composer.text = "";
    this.shell.emit("message", { role: "user", text });
    this.#paint();
    this.follow.toEnd();
  }

  /** Stops all unfinished turns. */
  #stop() {
    const { view } = this.conversation;
    for (const turn of unfinished(view)) {
      if ([...view.items, ...view.pending].some((i) => i.turn === turn && i.stopping)) continue;
      void this.conversation.stop(turn).catch((err) => this.wishes.failed(err));
    }
  }

  /** Shows the notice and other settings that the relay has sent. */
  #introduced() {
    this.frame.note(this.client.introduction?.notice);
    this.transcript.renew(); // another tab may have sent answers before the relay reported whether they can be rated
    this.painter.schedule();
  }

  /** @param {string} text the composer's content */
  #drafted(text) {
    this.storage.set("draft", text || null);
    // The challenge of a first message is solved while the visitor types.
    if (text && this.client.introduction?.challenge) void part("challenge").then((m) => m.prepare(this.conversation.outbox)).catch(() => {});
  }

  /** Handles files dropped on the panel. @param {DragEvent} e */
  #drag(e) {
    const files = e.dataTransfer?.types.includes("Files") && this.client.limits.max_attachments;
    this.root.classList.toggle("drop", !!files && e.type === "dragover");
    if (!files) return;
    e.preventDefault();
    if (e.type === "drop") void this.wishes.attach(/** @type {DataTransfer} */ (e.dataTransfer).files);
  }

  /** @param {KeyboardEvent} e */
  #key(e) {
    if (e.isComposing || e.defaultPrevented) return;
    if (e.key === "Escape") {
      if (this.frame.layer) this.frame.layer();
      else if (this.presence.popup) this.presence.hide(true);
      else return;
      e.preventDefault();
      e.stopPropagation();
    } else if (e.key === "F6") {
      const inField = this.shell.root.activeElement === this.composer.field;
      (inField ? this.transcript.log : this.composer.field).focus();
      e.preventDefault();
    }
  }

  /** @param {View} now @param {View} before @param {RelayEvent} event */
  #changed(now, before, event) {
    // Wait for the events of a new stream. Otherwise the end of a history would show
    // first, and repeated content would disappear and reappear.
    const renewed = /^(connected|adopted)$/.test(event.type);
    if (renewed && (!now.caughtUp || before.items.length > now.items.length)) this.painter.hold(patience);
    this.painter.schedule();
    if (now.status !== before.status || now.epoch !== before.epoch) {
      this.shell.emit("session", { status: now.status, epoch: now.epoch });
      if (now.epoch !== before.epoch || now.status === "ended") this.news.forget();
      if (now.status === "booting" && statusOf(now)) this.announcer.say(say("waking"));
      if (now.status === "failed" && before.status === "booting") this.wishes.complain(say("sessionFailed"));
    }
    if (event.type === "pending" && event.data.code === "consent_required" && event.data.state === "failed") {
      // The relay requires more than it reported, or had not reported anything yet.
      this.client.forget();
      void this.client.meet().then(() => {
        if (this.wishes.unagreed) void this.wishes.consent();
      }, () => {});
    }
    if (event.type === "forget") {
      this.times.clear();
      this.frame.leavePast?.();
    }
    if (now.caughtUp && !renewed) {
      // The event that completes the history belongs to it.
      for (const said of [...(before.caughtUp ? now.items.slice(before.items.length) : []), ...now.pending]) this.times.note(now, said);
      if (this.news.tell(now, before, event) && !this.presence.watched) {
        this.unread.add(this.el.hasAttribute("sound") && this.conversation.stream.leads); // one tab is enough for the sound
      }
    }
    this.presence.rest();
  }

  #paint() {
    const { view } = this.conversation;
    this.composer.attach.hidden = !this.client.limits.max_attachments;
    const stop = Date.now() + budget;
    let left;
    do {
      left = this.#keep(() => this.transcript.render(view));
      this.follow.keep();
    } while (left && Date.now() < stop);
    if (left) this.painter.schedule();
    const runs = unfinished(view);
    this.#keep(() => this.composer.running(runs.length > 0, runs.every((turn) => [...view.items, ...view.pending].some((i) => i.turn === turn && i.stopping))));
    this.frame.told.hidden = !view.banner;
    if (this.frame.told.textContent !== (view.banner ?? "")) this.frame.told.textContent = view.banner;
    this.frame.fresh.hidden = view.items.length + view.pending.length === 0;
    this.#tick();
  }

  /** @template T @param {() => T} change one that may hide the focused control */
  #keep(change) {
    return keepFocus(this.shell.root, this.transcript.log, change);
  }

  /** Updates countdowns, as long as there are any. */
  #tick() {
    const counting = this.transcript.tick(this.conversation.view);
    const lost = this.#keep(() => this.link.show(this.conversation.link));
    if (!counting && !lost) {
      clearInterval(this.#clock);
      this.#clock = undefined;
    } else {
      this.#clock ??= setInterval(() => this.#tick(), 500);
    }
  }

  #linked() {
    this.link.note(this.conversation.link);
    this.#tick();
  }
}
