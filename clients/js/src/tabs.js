// @ts-check
// One event stream for all tabs of a browser. Over HTTP/1.1 a browser opens at most six
// connections per host.
import { Share } from "./share.js";

/** The option `tabs` of `createRelayClient`. @type {import("./conversation.js").Listening} */
export const tabs = class extends Share {
  /** @param {ConstructorParameters<typeof Share>[0]} client @param {ConstructorParameters<typeof Share>[1]} to */
  constructor(client, to) {
    super(client, to, "client");
  }
};
