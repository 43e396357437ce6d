// @ts-check
// The panel: everything a visitor sees once the chat is wanted. It joins the
// conversation with the transcript, the composer and the screen reader.
import { Announcer } from "./announcer.js";
import { Client, Problem } from "./client.js";
import { css, inkOn, parseColor, readable } from "./color.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { Frame } from "./frame.js";
import { h, icon } from "./h.js";
import { doc, isHidden, prototype } from "./doc.js";
import { News } from "./news.js";
import { filesPart, part } from "./part.js";
import { plain, short } from "./plain.js";
import { Follow } from "./scroll.js";
import { length, starters, update, wonder } from "./settings.js";
import { Storage } from "./storage.js";
import { isRTL, locale, reason, say, teach } from "./strings.js";
import { styles } from "./styles.js";
import { Times, clock } from "./times.js";
import { Transcript, keyOf, statusOf } from "./transcript.js";
import { followViewport } from "./viewport.js";

/** @typedef {import("./reduce.js").View} View */
/** @typedef {import("./reduce.js").RelayEvent} RelayEvent */
/** @typedef {import("./mount.js").Shell} Shell */

const discretion = 2000; // ms until a lost connection is mentioned; most are back before
const absence = 60_000; // ms that a hidden tab's stream is kept
const patience = 300; // ms that a replay is waited for before it is shown in part
const budget = 20; // ms that a paint takes; what it can't do is left to the next one

const sheet = new CSSStyleSheet();
sheet.replaceSync(styles);

/** The chat in one language, from the first look to the element's end. */
export class Panel {
  #life = new AbortController();
  #open = false;
  #booted = false;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #absence;
  #unread = 0;
  #painting = false;
  #hold = 0;
  /** @type {ReturnType<typeof setInterval>|undefined} */
  #clock;
  #lostAt = 0;
  #linkState = "";
  #avatar = "";
  #badge = h("span", { class: "badge", "aria-hidden": "true" });

  /** @param {HTMLElement} el @param {Shell} shell */
  constructor(el, shell) {
    this.el = el;
    this.shell = shell;
    this.mode = el.getAttribute("mode") ?? "popup";
    this.storage = new Storage(shell.base);
    this.client = new Client(shell.base, this.storage, shell.fetch);
    this.announcer = new Announcer();
    this.news = new News(this.announcer, (name, detail) => shell.emit(name, detail), () => this.name);
    this.conversation = new Conversation(this.client, this.storage, {
      onView: (now, before, event) => this.#changed(now, before, event),
      onLink: () => this.#linked(),
    });
    this.times = new Times(this.storage);
    this.transcript = new Transcript(this.#acts(), (text) => this.#send(text), this.times);
    this.composer = new Composer({ onSend: (text, files) => this.#send(text, files), onFiles: (files) => void this.#attach(files), onDraft: (text) => this.storage.set("draft", text || null) });
    const { log } = this.transcript;
    this.frame = new Frame(this.mode, { log, composer: this.composer.el, regions: this.announcer.nodes }, {
      close: () => this.#hide(true),
      ask: () => void this.#ask(),
      retryNow: () => this.conversation.retryNow(),
      jump: () => this.follow.toEnd(),
    });
    this.root = this.frame.root;
    this.#place();
    wonder(el);
    this.follow = new Follow(this.transcript.log, this.transcript.thread, () => this.#showJump(), this.#life.signal);
    this.refresh();
    this.composer.text = this.storage.get("draft") ?? "";
    if (this.mode !== "popup" || shell.launcher?.ariaExpanded === "true") this.#show({ quiet: true });
    else if (this.storage.get("outbox")) this.conversation.start();
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
    this.transcript.log.addEventListener("click", (e) => this.#copyCode(e), { signal });
    doc.addEventListener("visibilitychange", () => this.#seen(), { signal });
    addEventListener("resize", () => this.#modal(), { signal });
    followViewport(this.root, signal);
  }

  /** @returns {import("./rows.js").Acts} */
  #acts() {
    return {
      name: () => this.name,
      time: (key) => {
        const at = this.times.at(key);
        return at ? clock(at) : "";
      },
      renew: () => {
        this.transcript.renew();
        this.#schedule();
      },
      copy: (button, text, shown) => void this.#copy(button, text, shown),
      respond: (id, answer) => void this.conversation.respond(id, answer).catch((err) => this.#complain(say("actionFailed", { why: why(err) }))),
      retry: (turn) => this.conversation.outbox.retry(turn),
      retryNow: () => this.conversation.retryNow(),
      edit: async (turn) => {
        this.composer.text = turn.text;
        this.composer.field.focus();
        if (turn.attachments.length) {
          const part = await filesPart();
          await part.show((await part.recall(turn.turn)) ?? [], this.#kit);
        }
        this.conversation.drop(turn.turn);
      },
      discard: (turn) => {
        this.conversation.drop(turn.turn);
        this.composer.field.focus();
      },
      again: () => {
        const said = this.conversation.view.items.findLast((i) => i.kind === "user");
        if (!said) return;
        const { turn, files } = this.conversation.outbox.last;
        const here = said.turn === turn;
        if (here || !said.attachments?.length) return this.#send(said.text, here ? files : []);
        // They went with the page that sent them; the visitor has them.
        this.composer.text = said.text;
        this.#complain(say("filesLost"));
      },
    };
  }

  get name() {
    return this.shell.settings().title || say("agent");
  }

  /** @param {string} name @param {any[]} args */
  call(name, args) {
    const [first] = args;
    switch (name) {
      case "open":
        return this.#show(first ?? {});
      case "close":
        return this.#hide(false);
      case "send":
        return this.#send(String(first));
      case "setDraft":
        this.composer.text = String(first ?? "");
        return;
      case "update":
        return update(this.el, first ?? {});
      case "logout":
        this.composer.clear();
        return this.conversation.logout();
      default: // newConversation, identify
        return /** @type {any} */ (this.conversation)[name](first);
    }
  }

  refresh() {
    const s = this.shell.settings();
    const accent = parseColor(s.accent) ?? [45, 91, 209];
    this.root.style.setProperty("--ink", css(inkOn(accent)));
    this.root.style.setProperty("--accent-day", css(readable(accent, [255, 255, 255], 4.6)));
    this.root.style.setProperty("--accent-night", css(readable(accent, [24, 26, 30], 4.6)));
    this.frame.title.textContent = s.title || say("title");
    for (const side of ["width", "height"]) this.root.style.setProperty(`--relay-${side}`, length(s[side]) || null);
    if (s.avatar !== this.#avatar) {
      this.#avatar = s.avatar;
      void part("brand").then((m) => m.portray(this.frame.title, s.avatar)).catch(() => {});
    }
    this.root.dataset.theme = /^(light|dark)$/.test(s.theme) ? s.theme : "auto";
    this.root.lang = locale;
    this.root.dir = this.el.dir || (isRTL() ? "rtl" : getComputedStyle(this.el).direction);
    this.transcript.welcome(s.greeting || say("greeting"), starters(s.starters));
  }

  destroy() {
    this.conversation.close();
    this.announcer.close();
    this.#life.abort();
    clearTimeout(this.#absence);
    clearInterval(this.#clock);
    this.#badge.replaceWith();
    this.#unread = 0;
    this.#mark();
    this.root.replaceWith();
  }

  /** @param {{message?: string, send?: boolean, quiet?: boolean}} [how] quiet: the visitor did not ask for it now */
  #show({ message, send, quiet = false } = {}) {
    const popup = this.mode === "popup";
    if (popup && !this.#open && !this.shell.emit("open", {}, true)) return;
    this.#open = true;
    if (popup) {
      this.root.hidden = false;
      this.#reflect(true);
      this.#modal();
    }
    this.conversation.start();
    if (this.shell.config.boot === "open" && !this.#booted) void this.conversation.boot();
    this.#booted = true;
    this.#read();
    if (message && send) this.#send(message);
    else if (message) this.composer.text = message;
    this.#paint();
    this.composer.fit();
    this.follow.toEnd();
    // On glass a focus would call the keyboard up.
    if (popup && !quiet && !matchMedia("(hover: none) and (pointer: coarse)").matches) this.composer.field.focus({ preventScroll: true });
  }

  /** @param {boolean} byHand whether the focus goes back to the launcher */
  #hide(byHand) {
    if (this.mode !== "popup" || !this.#open || !this.shell.emit("close", {}, true)) return;
    const inside = this.root.contains(this.shell.root.activeElement);
    this.#open = false;
    this.root.hidden = true;
    this.#reflect(false);
    this.#modal();
    if (byHand || inside) this.shell.launcher?.focus({ preventScroll: true });
    this.#rest();
  }

  /** @param {boolean} open */
  #reflect(open) {
    this.shell.reflect("open", open ? "" : null);
    this.shell.launcher?.setAttribute("aria-expanded", String(open));
    this.#remember(open);
  }

  /** @param {boolean} open */
  #remember(open) {
    try {
      const key = `${this.storage.space}open`;
      if (open) sessionStorage.setItem(key, "1");
      else sessionStorage.removeItem(key);
    } catch {
      // Then the next page begins with the chat closed.
    }
  }

  /** A tab that nobody looks at holds no stream for long: browsers have few. */
  #seen() {
    this.#mark();
    clearTimeout(this.#absence);
    if (isHidden()) {
      this.#absence = setTimeout(() => this.#idle && this.conversation.stream.stop(), absence);
    } else if (this.#open) {
      this.#read();
      this.conversation.stream.start();
    }
  }

  get #idle() {
    const { view } = this.conversation;
    return !view.busy && !view.pending.length;
  }

  /** On a phone the panel covers the page and says so. */
  #modal() {
    const covers = this.mode === "popup" && this.#open && matchMedia("(max-width:640px),(max-height:480px)").matches;
    if (covers) this.root.setAttribute("aria-modal", "true");
    else this.root.removeAttribute("aria-modal");
    if (this.shell.launcher) this.shell.launcher.inert = covers;
  }

  /** Lets the stream go when nobody looks and nothing is under way. */
  #rest() {
    if (this.mode === "popup" && !this.#open && this.#idle) this.conversation.stream.stop();
  }

  /** @param {string} text @param {import("./files.js").Attached[]} [files] */
  #send(text, files = []) {
    const max = this.client.limits.max_message;
    const over = max ? new TextEncoder().encode(text).length - max : 0;
    if (over > 0) return this.#complain(say("tooLong", { n: over }));
    if (!text.trim() && !files.length) return;
    this.#complain("");
    this.conversation.send(text, files);
    if (text === this.composer.text.trim()) this.composer.clear();
    this.shell.emit("message", { role: "user", text });
    this.#paint();
    this.follow.toEnd();
  }

  get #kit() {
    return { composer: this.composer, h, icon, say, teach, plain, short };
  }

  /** Takes files that may be sent, and says what is wrong with the others. @param {Iterable<File>} files */
  async #attach(files) {
    try {
      const part = await filesPart();
      await this.client.meet();
      this.#complain(await part.attach(files, this.client.limits, this.#kit));
    } catch (err) {
      this.#complain(say("actionFailed", { why: why(err) }));
    }
  }

  /** Lets files be dropped. @param {DragEvent} e */
  #drag(e) {
    const files = e.dataTransfer?.types.includes("Files") && this.client.limits.max_attachments;
    this.root.classList.toggle("drop", !!files && e.type === "dragover");
    if (!files) return;
    e.preventDefault();
    if (e.type === "drop") void this.#attach(/** @type {DataTransfer} */ (e.dataTransfer).files);
  }

  async #ask() {
    try {
      (await part("fresh")).ask(this.frame.confirm, this.#kit, () => this.#fresh(), () => this.frame.unask());
    } catch (err) {
      this.#complain(say("actionFailed", { why: why(err) }));
    }
  }

  async #fresh() {
    this.composer.field.focus({ preventScroll: true });
    try {
      await this.conversation.newConversation();
    } catch (err) {
      this.#complain(say("actionFailed", { why: why(err) }));
    }
  }

  /** @param {string} text "" takes the last complaint away */
  #complain(text) {
    this.frame.complain(text);
    if (text) this.announcer.warn(text);
  }

  /** @param {KeyboardEvent} e */
  #key(e) {
    if (e.isComposing || e.defaultPrevented) return;
    if (e.key === "Escape") {
      if (!this.frame.confirm.hidden) this.frame.unask();
      else if (this.mode === "popup") this.#hide(true);
      else return;
      e.preventDefault();
      e.stopPropagation();
    } else if (e.key === "F6") {
      const inField = this.shell.root.activeElement === this.composer.field;
      (inField ? this.transcript.log : this.composer.field).focus();
      e.preventDefault();
    }
  }

  /** @param {Event} e */
  #copyCode(e) {
    const button = e.target instanceof HTMLElement ? e.target.closest("button[data-copy]") : null;
    const code = button?.closest(".code")?.querySelector("code");
    if (button && code) void this.#copy(button, code.textContent ?? "", code);
  }

  /** @param {Element} button @param {string} text @param {Element} shown */
  async #copy(button, text, shown) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      getSelection()?.selectAllChildren(shown); // then at least it is one key press away
      return;
    }
    button.textContent = say("copied");
    this.announcer.say(say("copied"));
    setTimeout(() => {
      button.textContent = say("copy");
    }, 2000);
  }

  /** @param {View} now @param {View} before @param {RelayEvent} event */
  #changed(now, before, event) {
    // What a new stream tells is waited for: the end of a history shows first,
    // and what comes again would vanish and come back before the reader's eyes.
    const renewed = /^(connected|adopted)$/.test(event.type);
    if (renewed && (!now.caughtUp || before.items.length > now.items.length)) this.#hold = Date.now() + patience;
    this.#schedule();
    if (now.status !== before.status || now.epoch !== before.epoch) {
      this.shell.emit("session", { status: now.status, epoch: now.epoch });
      if (now.epoch !== before.epoch || now.status === "ended") this.news.forget();
      if (now.status === "booting" && statusOf(now)) this.announcer.say(say("waking"));
      if (now.status === "failed" && before.status === "booting") this.#complain(say("sessionFailed"));
    }
    if (event.type === "forget") this.times.clear();
    if (now.caughtUp && !renewed) {
      // What brought us up to date is the last of the history.
      for (const said of [...(before.caughtUp ? now.items.slice(before.items.length) : []), ...now.pending]) this.times.note(keyOf(said));
      if (this.news.tell(now, before, event)) this.#count();
    }
    this.#rest();
  }

  #count() {
    if (this.#open && !isHidden()) return;
    this.#unread++;
    this.#showUnread();
    // One tab is enough to hear it.
    if (this.el.hasAttribute("sound") && this.conversation.stream.leads) void part("sound").then((m) => m.chime()).catch(() => {});
  }

  #read() {
    if (!this.#unread) return;
    this.#unread = 0;
    this.#showUnread();
  }

  #showUnread() {
    const { launcher } = this.shell;
    this.#badge.textContent = this.#unread ? String(Math.min(this.#unread, 99)) : "";
    launcher?.append(this.#badge);
    const s = this.shell.settings();
    const title = s.label || s.title || say("title");
    launcher?.setAttribute("aria-label", this.#unread ? say("unread", { title, n: this.#unread }) : title);
    this.#mark();
    this.shell.emit("unread", { count: this.#unread });
  }

  /** Tells those who look at another tab. */
  #mark() {
    const title = doc.title.replace(/^\(\d+\) /, "");
    const now = this.#unread && isHidden() ? `(${this.#unread}) ${title}` : title;
    if (doc.title !== now) Reflect.set(prototype(), "title", now, document);
  }

  /** Paints soon, or in a while where nobody looks. */
  #schedule() {
    if (this.#painting) return;
    this.#painting = true;
    const paint = () => {
      this.#painting = false;
      const began = Date.now();
      if (!this.#life.signal.aborted) this.#paint();
      if (!this.#painting) this.#hold = Math.max(this.#hold, 4 * Date.now() - 3 * began); // at most a quarter of the time is ours
    };
    setTimeout(paint, Math.max(this.#hold - Date.now(), isHidden() ? 200 : 16));
  }

  #paint() {
    const { view } = this.conversation;
    this.composer.attach.hidden = !this.client.limits.max_attachments;
    const stop = Date.now() + budget;
    let left;
    do {
      left = this.transcript.render(view);
      this.follow.keep();
    } while (left && Date.now() < stop);
    if (left) this.#schedule();
    this.frame.fresh.hidden = view.items.length + view.pending.length === 0;
    this.#tick();
  }

  #showJump() {
    this.frame.jump.hidden = this.follow.stuck;
  }

  /** Renews what counts down, as long as something does. */
  #tick() {
    const counting = this.transcript.tick(this.conversation.view);
    const lost = this.#showLink();
    if (!counting && !lost) {
      clearInterval(this.#clock);
      this.#clock = undefined;
    } else {
      this.#clock ??= setInterval(() => this.#tick(), 500);
    }
  }

  #linked() {
    const { state, problem } = this.conversation.link;
    if (state === "open" || state === "idle") this.#lostAt = 0;
    else this.#lostAt ||= Date.now();
    if (state !== this.#linkState) {
      this.#linkState = state;
      this.shell.emit("connection", { state });
      if (state === "refused") this.shell.emit("error", { code: problem?.code, message: problem?.message });
    }
    this.#tick();
  }

  /** Says what is wrong with the connection; reports whether anything is. */
  #showLink() {
    const { state, until, problem } = this.conversation.link;
    const lost = state !== "open" && state !== "idle";
    this.frame.dot.dataset.state = state;
    const late = lost && Date.now() - this.#lostAt >= discretion;
    const refused = state === "refused";
    const show = refused || late;
    const was = this.frame.banner.hidden;
    this.frame.banner.hidden = !show;
    if (!show) return lost;
    const s = Math.max(1, Math.ceil((until - Date.now()) / 1000));
    const text = refused ? (problem?.detail ?? "") : !navigator.onLine ? say("offline") : problem ? (problem.code === "unreachable" || !problem.detail ? say("down", { s }) : say("downWhy", { why: reason(problem), s })) : say("reconnecting");
    if (this.frame.bannerText.textContent !== text) this.frame.bannerText.textContent = text;
    this.frame.retry.hidden = state === "connecting";
    this.frame.banner.classList.toggle("bad", refused);
    if (was) this.announcer.warn(text);
    return lost;
  }
}

/** @param {unknown} err */
function why(err) {
  return err instanceof Problem ? reason(err) || err.code : String(err);
}
