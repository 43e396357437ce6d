// @ts-check
// The event stream format (WHATWG HTML, section 9.2).

/**
 * @typedef {object} Frame
 * @property {string} event
 * @property {string} data
 * @property {string|null} id null if the frame has no id line
 */

/** Maximum length of an event, in characters. */
const maxFrame = 4 << 20;

/**
 * Decodes an event stream, however it is split. An event that is too large becomes one
 * named `skipped`, with its id and no data, so that the stream continues after it and the
 * event is not requested again.
 */
export class Decoder {
  #text = new TextDecoder();
  #line = "";
  #afterCR = false;
  #event = "";
  /** @type {string[]} */
  #data = [];
  /** @type {string|null} */
  #id = null;
  #size = 0;
  #large = false;

  /**
   * @param {(frame: Frame) => void} onFrame
   * @param {(ms: number) => void} onRetry
   */
  constructor(onFrame, onRetry) {
    this.onFrame = onFrame;
    this.onRetry = onRetry;
  }

  /**
   * Processes the next bytes.
   * @param {Uint8Array} bytes
   */
  push(bytes) {
    let text = this.#text.decode(bytes, { stream: true });
    if (!text) return;
    if (this.#afterCR && text[0] === "\n") text = text.slice(1);
    this.#afterCR = text ? text.endsWith("\r") : this.#afterCR;
    const lines = text.split(/\r\n|\n|\r/);
    lines[0] = this.#line + lines[0];
    this.#line = lines.pop() ?? "";
    for (const line of lines) this.#take(line);
    this.#bound();
  }

  /** Drops the data of an event that is too large. */
  #bound() {
    // Inspecting an incomplete line costs time in proportion to its length, so it is done
    // only once it is too long.
    if (this.#line.length + this.#size <= maxFrame && !(this.#large && this.#line.length > 1024)) return;
    if (this.#line[0] === ":") this.#line = ":"; // a comment
    this.#large ||= this.#line.length + this.#size > maxFrame;
    if (!this.#large) return;
    this.#data = [];
    this.#size = 0;
    // The field's name is enough of the current line; an id is never that long.
    if (this.#line.length > 1024) this.#line = this.#line.startsWith("data:") ? "data:" : ":";
  }

  /** @param {string} line */
  #take(line) {
    if (line === "") {
      if (this.#large) this.onFrame({ event: "skipped", data: "{}", id: this.#id });
      else if (this.#data.length) this.onFrame({ event: this.#event || "message", data: this.#data.join("\n"), id: this.#id });
      this.#event = "";
      this.#data = [];
      this.#id = null;
      this.#size = 0;
      this.#large = false;
      return;
    }
    const [start, field] = /** @type {string[]} */ (/^([^:]*):? ?/.exec(line)); // a comment has no field
    const value = line.slice(start.length);
    if (field === "data" && this.#large) {
      return;
    } else if (field === "data") {
      this.#data.push(value);
      this.#size += value.length;
      if (this.#size > maxFrame) this.#bound();
    } else if (field === "event") {
      this.#event = value;
    } else if (field === "id") {
      if (!value.includes("\0")) this.#id = value;
    } else if (field === "retry" && /^\d{1,9}$/.test(value)) {
      this.onRetry(Number(value));
    }
  }
}
