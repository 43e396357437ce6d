// @ts-check
// The part of a document that the Markdown renderer uses, for tests without a browser,
// and a serializer for the result.

class StubNode {
  /** @type {StubNode[]} */
  children = [];
  /** @type {Record<string, string>} */
  attributes = {};
  data = "";

  /** @param {string} tag "" for text */
  constructor(tag) {
    this.tag = tag;
  }

  /** @param {string} name @param {string} value */
  setAttribute(name, value) {
    this.attributes[name] = value;
  }

  /** @param {StubNode} child */
  appendChild(child) {
    this.children.push(child);
  }

  /** @param {StubNode} next @param {StubNode} old */
  replaceChild(next, old) {
    this.children[this.indexOf(old)] = next;
  }

  /** @param {StubNode} child */
  removeChild(child) {
    this.children.splice(this.indexOf(child), 1);
  }

  /** @param {StubNode} child */
  indexOf(child) {
    const at = this.children.lastIndexOf(child);
    if (at < 0) throw new Error("not a child");
    return at;
  }

  replaceChildren() {
    this.children = [];
  }

  /** @param {string} text */
  appendData(text) {
    this.data += text;
  }

  /** @param {string} text */
  set textContent(text) {
    this.children = [stubDocument.createTextNode(text ?? "")];
  }

  /** @returns {string} */
  toString() {
    if (!this.tag) return this.data.replace(/&/g, "&amp;").replace(/</g, "&lt;");
    const attrs = Object.entries(this.attributes).map(([k, v]) => ` ${k}="${v}"`).join("");
    return `<${this.tag}${attrs}>${this.children.join("")}</${this.tag}>`;
  }
}

export const stubDocument = {
  /** @param {string} tag */
  createElement: (tag) => new StubNode(tag),
  /** @param {string} text */
  createTextNode(text) {
    const node = new StubNode("");
    node.data = text;
    return node;
  },
};

// The renderer uses the prototype of the document, see doc.js.
Object.assign(globalThis, { document: Object.create(stubDocument) });

/** @returns {any} an element to render into */
export function stubRoot() {
  return new StubNode("root");
}
