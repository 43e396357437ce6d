// @ts-check
// When the panel is painted: soon, never twice for one reason, and never so often
// that the page suffers.
import { isHidden } from "../../clients/js/src/doc.js";

/** Calls paint some time after it was wanted. */
export class Painter {
  #waits = false;
  #hold = 0;

  /** @param {() => void} paint @param {AbortSignal} signal ends it */
  constructor(paint, signal) {
    this.paint = paint;
    this.signal = signal;
  }

  /** Paints soon, or in a while in a hidden tab. */
  schedule() {
    if (this.#waits) return;
    this.#waits = true;
    const paint = () => {
      this.#waits = false;
      const began = Date.now();
      if (!this.signal.aborted) this.paint();
      if (!this.#waits) this.#hold = Math.max(this.#hold, 4 * Date.now() - 3 * began); // at most a quarter of the time is ours
    };
    setTimeout(paint, Math.max(this.#hold - Date.now(), isHidden() ? 200 : 16));
  }

  /** Paints nothing that is scheduled from now on for this long. @param {number} ms */
  hold(ms) {
    this.#hold = Date.now() + ms;
  }
}
