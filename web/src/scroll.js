// @ts-check
// Follows the end of the transcript while text arrives, without interfering with the
// reader's scrolling.

/** Distance in px that still counts as the end. */
const near = 48;

export class Follow {
  /** Whether the end is followed. */
  stuck = true;

  /**
   * @param {HTMLElement} log the scrolling element
   * @param {HTMLElement} thread its content
   * @param {() => void} onChange
   * @param {AbortSignal} signal
   */
  constructor(log, thread, onChange, signal) {
    this.log = log;
    this.onChange = onChange;
    const on = { signal, passive: true };
    // Only the reader stops following: growing text also moves the end away.
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

  /** Scrolls to the end if it is followed. */
  keep() {
    const { scrollHeight } = this.log; // forces a layout, which counts as the caller's time
    if (this.stuck) this.log.scrollTop = scrollHeight;
  }

  /** Scrolls to the end and follows it. */
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
