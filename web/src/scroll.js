// @ts-check
// Staying at the end while words come, and never fighting the reader.

/** This close to the end counts as the end, in px. */
const near = 48;

export class Follow {
  /** Whether the end is followed. */
  stuck = true;

  /**
   * @param {HTMLElement} log what scrolls
   * @param {HTMLElement} thread what is in it
   * @param {() => void} onChange
   * @param {AbortSignal} signal
   */
  constructor(log, thread, onChange, signal) {
    this.log = log;
    this.onChange = onChange;
    const on = { signal, passive: true };
    // Only the reader lets go: growing text moves the end away, too.
    log.addEventListener("wheel", (e) => e.deltaY < 0 && this.#release(), on);
    log.addEventListener("touchmove", () => !this.#atEnd() && this.#release(), on);
    log.addEventListener("keydown", (e) => /^(Arrow|Page)Up$|^Home$/.test(e.key) && this.#release(), on);
    let before = 0;
    log.addEventListener("scroll", () => {
      if (log.scrollTop < before - 1 && !this.#atEnd()) this.#set(false);
      else if (this.#atEnd()) this.#set(true);
      before = log.scrollTop;
    }, on);
    const sizes = new ResizeObserver(() => this.keep());
    sizes.observe(thread);
    sizes.observe(log);
    signal.addEventListener("abort", () => sizes.disconnect());
  }

  /** Goes to the end if it is followed. */
  keep() {
    const { scrollHeight } = this.log; // lays out, which belongs to the caller's time
    if (this.stuck) this.log.scrollTop = scrollHeight;
  }

  /** Goes to the end and follows it. */
  toEnd() {
    this.#set(true);
    this.keep();
  }

  #release() {
    if (this.log.scrollHeight > this.log.clientHeight + 1) this.#set(false);
  }

  #atEnd() {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight <= near;
  }

  /** @param {boolean} stuck */
  #set(stuck) {
    if (this.stuck === stuck) return;
    this.stuck = stuck;
    this.onChange();
  }
}
