// @ts-check
// Schedules repaints of the panel: soon, never twice for one reason, and not so often
// that the page becomes slow.
import { isHidden } from "../../clients/js/src/doc.js";

/** Calls paint some time after it was requested. */
export class Painter {
  #waits = false;
  #hold = 0;

  /** @param {() => void} paint @param {AbortSignal} signal stops it */
  constructor(paint, signal) {
    this.paint = paint;
    this.signal = signal;
  }

  /** Paints soon, or later in a hidden tab. */
  schedule() {
    if (this.#waits) return;
    this.#waits = true;
    const paint = () => {
      this.#waits = false;
      const began = Date.now();
      if (!this.signal.aborted) this.paint();
      if (!this.#waits) this.#hold = Math.max(this.#hold, 4 * Date.now() - 3 * began); // at most a quarter of the time is used
    };
    setTimeout(paint, Math.max(this.#hold - Date.now(), isHidden() ? 200 : 16));
  }

  /** Delays paints scheduled from now on by this long. @param {number} ms */
  hold(ms) {
    this.#hold = Date.now() + ms;
  }
}
