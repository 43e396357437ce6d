// How to use each third-party EventSource client with the relay, as in the table of
// docs/clients.md.
import { fetchEventSource } from "@microsoft/fetch-event-source";
import { EventSource } from "eventsource";
import { createEventSource } from "eventsource-client";
import polyfill from "event-source-polyfill";
import launchdarkly from "launchdarkly-eventsource";
import Reconnecting from "reconnecting-eventsource";

const kinds = ["session", "user", "text", "tool", "question", "approval", "settled", "turn_end", "upstream", "feedback", "notice", "reset", "problem"];

/** Listens to all of the relay's events. */
function listen(source, seen) {
  for (const kind of ["message", ...kinds]) source.addEventListener(kind, (e) => seen(e.type, e.lastEventId, e.data));
  for (const kind of ["error", "closed"]) source.addEventListener(kind, (e) => seen.failed(`${kind} ${e.status ?? e.code ?? ""} ${e.message ?? ""}`));
}

/** The token is sent in a header, which the standard EventSource does not support. */
const authorized = (token) => (url, init) => fetch(url, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } });

/** The globals that the fetch client expects in a page. */
globalThis.window ??= globalThis;
globalThis.document ??= { hidden: false, addEventListener() {}, removeEventListener() {} };

/** @typedef {((kind: string, id: string, data: string) => void) & {failed: (why: string) => void}} Seen receives a client's events, and the reason why it lost the stream */

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
      openWhenHidden: true, // otherwise each return to the page opens a stream
      onmessage: ({ event, id, data }) => seen(event, id, data),
      onclose() {
        throw new Error("ended"); // otherwise it never reconnects
      },
    }),
};
