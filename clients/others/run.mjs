// Runs every client against every address of the relay, and prints each event on a line:
// the client, and the event's id, kind and whether its data is JSON.
import dns from "node:dns";
import { clients } from "./clients.mjs";

// All hosts are this machine, whatever the proxies' names.
dns.lookup = (host, options, done = options) => (options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4));
console.error = () => {}; // clients may report errors: their connections are cut

const { TOKEN, WAYS } = process.env;
for (const [way, relay] of Object.entries(JSON.parse(WAYS))) {
  for (const [name, start] of Object.entries(clients)) {
    const client = `${way}.${name}`;
    let last = { id: "", data: "" };
    const seen = (kind, id, data) => {
      let json = true;
      try {
        JSON.parse(data);
      } catch {
        json = false;
      }
      // A standard client repeats the last id for an event without one.
      const unnumbered = kind === "session" || (id === last.id && data !== last.data);
      if (id) last = { id, data };
      console.log(JSON.stringify({ client, kind, id: unnumbered ? "" : id, json }));
    };
    seen.failed = (why) => process.stderr.write(`${new Date().toISOString()} ${client}: ${why}\n`);
    start(`${relay}/v1/events?client=${client}`, TOKEN, seen);
  }
}
setInterval(() => {}, 1 << 30);
