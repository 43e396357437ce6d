// @ts-check
// Shows the state of the connection to the relay.
import { reason, say } from "./strings.js";

const discretion = 2000; // ms until a lost connection is shown; most reconnect earlier

/** Shows the state of the connection, in the frame's dot and banner. */
export class LinkNotice {
  #lostAt = 0;
  #was = "";

  /**
   * @param {import("./frame.js").Frame} frame
   * @param {import("./announcer.js").Announcer} announcer
   * @param {import("./mount.js").Shell} shell
   */
  constructor(frame, announcer, shell) {
    this.frame = frame;
    this.announcer = announcer;
    this.shell = shell;
  }

  /** Reports a change to the page. @param {import("../../clients/js/src/conversation.js").Conversation["link"]} link */
  note({ state, problem }) {
    if (state === "open" || state === "idle") this.#lostAt = 0;
    else this.#lostAt ||= Date.now();
    if (state === this.#was) return;
    this.#was = state;
    this.shell.emit("connection", { state });
    if (state === "refused") this.shell.emit("error", { code: problem?.code, message: problem?.message });
  }

  /** Shows the problem; returns whether there is one. @param {import("../../clients/js/src/conversation.js").Conversation["link"]} link */
  show(link) {
    const { frame } = this;
    const { state } = link;
    const lost = state !== "open" && state !== "idle";
    frame.dot.dataset.state = state;
    const late = lost && Date.now() - this.#lostAt >= discretion;
    const shown = state === "refused" || late;
    const was = frame.banner.hidden;
    frame.banner.hidden = !shown;
    if (!shown) return lost;
    const text = words(link);
    if (frame.bannerText.textContent !== text) frame.bannerText.textContent = text;
    frame.retry.hidden = state === "connecting";
    frame.banner.classList.toggle("bad", state === "refused");
    if (was) this.announcer.warn(text);
    return lost;
  }
}

/** @param {import("../../clients/js/src/conversation.js").Conversation["link"]} link */
function words({ state, until, problem }) {
  if (state === "refused") return problem ? reason(problem) : "";
  if (!navigator.onLine) return say("offline");
  if (!problem) return say("connecting");
  const s = Math.max(1, Math.ceil((until - Date.now()) / 1000));
  return problem.code === "unreachable" || !problem.detail ? say("down", { s }) : say("downWhy", { why: reason(problem), s });
}
