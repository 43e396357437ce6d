// @ts-check
// Reads an earlier conversation without waking a sandbox.
import { emptyView, reduce } from "./reduce.js";

/** @typedef {import("./reduce.js").View} View */

/**
 * Reads a whole conversation; wakes no sandbox.
 * @param {{client: import("./client.js").Client}} conversation
 * @param {number} epoch
 * @returns {Promise<View>}
 */
export async function read({ client }, epoch) {
  let view = emptyView;
  for (let since = 0; since !== null; ) {
    const page = await (await client.call("GET", `v1/transcript?epoch=${epoch}&since=${since}&limit=1000`)).json();
    for (const { id, event, data } of page.events) view = reduce(view, { type: event, id, data });
    since = page.next_since ?? null;
  }
  return { ...view, busy: false };
}
