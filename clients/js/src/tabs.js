// @ts-check
// One event stream for all tabs of a browser, which opens six connections to a
// host at most over HTTP/1.1.
import { Share } from "./share.js";

/** What `createRelayClient` takes as `tabs`. @type {import("./conversation.js").Listening} */
export const tabs = class extends Share {
  /** @param {ConstructorParameters<typeof Share>[0]} client @param {ConstructorParameters<typeof Share>[1]} to */
  constructor(client, to) {
    super(client, to, "client");
  }
};
