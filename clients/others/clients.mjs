// How each EventSource client of other people is used with the relay: the same as
// the table in docs/clients.md says.
import { fetchEventSource } from "@microsoft/fetch-event-source";
import { EventSource } from "eventsource";
import { createEventSource } from "eventsource-client";
import polyfill from "event-source-polyfill";
import launchdarkly from "launchdarkly-eventsource";
import Reconnecting from "reconnecting-eventsource";

const kinds = ["session", "user", "text", "tool", "question", "approval", "settled", "turn_end", "upstream", "feedback", "notice", "reset", "problem"];

/** Listens to all that the relay sends. */
function listen(source, seen) {
  for (const kind of ["message", ...kinds]) source.addEventListener(kind, (e) => seen(e.type, e.lastEventId, e.data));
  for (const kind of ["error", "closed"]) source.addEventListener(kind, (e) => seen.failed(`${kind} ${e.status ?? e.code ?? ""} ${e.message ?? ""}`));
}

/** The token goes into a header, which the standard's EventSource cannot send. */
const authorized = (token) => (url, init) => fetch(url, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } });

/** What the fetch of a browser's page has around it. */
globalThis.window ??= globalThis;
globalThis.document ??= { hidden: false, addEventListener() {}, removeEventListener() {} };

/** @typedef {((kind: string, id: string, data: string) => void) & {failed: (why: string) => void}} Seen what a client shows: its events, and why it lost the stream */

/** @type {Record<string, (url: string, token: string, seen: Seen) => void>} */
export const clients = {
  eventsource: (url, token, seen) => listen(new EventSource(url, { fetch: authorized(token) }), seen),

  "eventsource-client": (url, token, seen) =>
    void createEventSource({ url, headers: { Authorization: `Bearer ${token}` }, onMessage: ({ event, id, data }) => seen(event, id, data) }),

  "launchdarkly-eventsource": (url, token, seen) =>
    listen(new launchdarkly.EventSource(url, { headers: { Authorization: `Bearer ${token}` }, rejectUnauthorized: true }), seen),

  "event-source-polyfill": (url, token, seen) => listen(new polyfill.EventSourcePolyfill(url, { headers: { Authorization: `Bearer ${token}` } }), seen),

  "reconnecting-eventsource": (url, token, seen) => listen(new Reconnecting(url, { eventSourceClass: EventSource, fetch: authorized(token) }), seen),

  "fetch-event-source": (url, token, seen) =>
    void fetchEventSource(url, {
      headers: { Authorization: `Bearer ${token}` },
      openWhenHidden: true, // else each return to the page opens a stream
      onmessage: ({ event, id, data }) => seen(event, id, data),
      onclose() {
        throw new Error("ended"); // or it never comes back
      },
    }),
};
