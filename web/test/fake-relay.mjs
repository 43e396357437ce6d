// A relay built with Node's http, for faults that the real one cannot be made to have. It
// implements /v1, from a test's script.
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const files = new URL("../static/", import.meta.url);
const types = { js: "text/javascript", css: "text/css", html: "text/html; charset=utf-8" };
export const strictPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/**
 * @typedef {object} Visitor
 * @property {number} epoch
 * @property {string} status
 * @property {boolean} busy
 * @property {number} seq
 * @property {{id: string|null, type: string, data: any}[]} events
 * @property {Map<string, any>} turns answers by key
 * @property {Set<import("node:http").ServerResponse>} streams
 */

/** Up to how many ms some responses are delayed: finds tests and code that count on an order. See CONTRIBUTING.md. */
const jitter = Number(process.env.RELAY_JITTER ?? 0);

export class FakeRelay {
  /** @type {Map<string, Visitor>} */
  visitors = new Map();
  /** @type {{method: string, path: string, headers: any, body: any}[]} */
  requests = [];
  /** @type {((req: any, res: any, path: string) => boolean)|null} a fault: returns true if it has handled the request */
  fault = null;
  /** The agent's behavior in a turn. */
  agent = async (/** @type {FakeRelay} */ relay, /** @type {Visitor} */ v, /** @type {string} */ text) => {
    relay.emit(v, "text", { text: `You said: ${text}`, delta: false });
    relay.emit(v, "turn_end", { reason: "done" });
  };
  settings = {};
  /** Additional members of its introduction: notice, feedback. */
  says = {};
  consent = null; // {version, text} that visitors agree to before the first message
  /** Earlier conversations by epoch: their title and events. @type {Record<number, {title: string, events: any[]}>} */
  past = {};
  refuses = false; // whether it allows the origins of websites
  varies = true; // whether the stream has Vary: *
  policy = strictPolicy; // of its page
  base = "";

  async start(port = 0) {
    this.server = createServer((req, res) => void this.handle(req, res).catch((err) => res.destroy(err)));
    await new Promise((done) => this.server.listen(port, "127.0.0.1", done));
    this.server.unref(); // a test that fails before it stops the server must fail, not hang
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}${this.base}/`;
    return this;
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  /** Adds an event to a visitor's log and sends it; state and deltas have no number. */
  emit(v, type, data, numbered = !(type === "session" || (type === "text" && data.delta) || type === "turn_end" || type === "tool")) {
    const event = { id: numbered ? `${v.epoch}-${++v.seq}` : null, type, data };
    if (type === "turn_end") v.busy = false;
    if (type !== "session") v.events.push(event);
    for (const s of v.streams) s.write(frame(event));
    return event.id;
  }

  status(v, status) {
    v.status = status;
    this.emit(v, "session", { status, epoch: v.epoch });
  }

  /** Resets every stream of a visitor. */
  cut(v) {
    for (const s of v.streams) s.destroy();
  }

  /** Ends every stream of a visitor normally, like a relay at the end of a stream's lifetime. */
  finish(v) {
    for (const s of v.streams) s.end();
    v.streams.clear();
  }

  get only() {
    return [...this.visitors.values()][0];
  }

  async handle(req, res) {
    const url = new URL(req.url, "http://x");
    if (!url.pathname.startsWith(this.base)) return problem(res, 404, "not_found");
    const path = url.pathname.slice(this.base.length);
    const foreign = req.headers.origin && req.headers.origin !== `http://${req.headers.host}`;
    if (foreign && this.refuses && path.startsWith("/v1/")) return problem(res, 403, "origin_not_allowed");
    if (foreign) {
      res.setHeader("access-control-allow-origin", req.headers.origin);
      res.setHeader("access-control-allow-headers", "authorization, content-type, idempotency-key, last-event-id, relay-challenge, traceparent");
      res.setHeader("access-control-allow-methods", "GET, POST, DELETE");
      res.setHeader("access-control-expose-headers", "Retry-After");
      res.setHeader("vary", "Origin");
      if (req.method === "OPTIONS") return res.writeHead(204).end();
    }
    let body = "";
    for await (const chunk of req) body += chunk;
    this.requests.push({ method: req.method, path, headers: req.headers, body: body ? JSON.parse(body) : null });
    if (jitter && Math.random() < 0.4) await new Promise((done) => setTimeout(done, Math.random() * jitter));
    if (this.fault?.(req, res, path)) return;
    if (!path.startsWith("/v1/")) return this.file(res, path);
    res.setHeader("cache-control", "no-store");
    const route = `${req.method} ${path}`;
    const token = /^Bearer (.+)$/i.exec(req.headers.authorization ?? "")?.[1] ?? /relay_visitor=([^;]+)/.exec(req.headers.cookie ?? "")?.[1] ?? "";
    if (route === "POST /v1/visitor") return this.introduce(res, token, !!foreign, body ? JSON.parse(body) : {});
    const v = this.visitors.get(token);
    if (!v) return problem(res, 401, "visitor_unknown");
    const stop = /^POST \/v1\/turns\/([^/]+)\/stop$/.exec(route)?.[1];
    if (stop) return this.stopTurn(res, v, stop);
    const erased = /^DELETE \/v1\/conversations\/(\d+)$/.exec(route)?.[1];
    if (erased) {
      delete this.past[erased];
      if (Number(erased) === v.epoch) this.status(v, "ended");
      return json(res, 202, { erasure: "e1" });
    }
    switch (route) {
      case "POST /v1/feedback": {
        const { turn, rating, comment } = JSON.parse(body);
        v.comments = [...(v.comments ?? []), comment];
        json(res, 202, {});
        return this.emit(v, "feedback", { turn, rating }, false);
      }
      case "GET /v1/conversations": {
        const at = new Date().toISOString();
        const row = (epoch, title, current) => ({ epoch, title, started_at: at, last_active_at: at, current });
        return json(res, 200, { conversations: [row(v.epoch, "now", true), ...Object.entries(this.past).map(([epoch, { title }]) => row(Number(epoch), title, false))] });
      }
      case "GET /v1/transcript": {
        const then = this.past[url.searchParams.get("epoch")];
        return then ? json(res, 200, { events: then.events, next_since: null }) : problem(res, 404, "not_found");
      }
      case "GET /v1/export":
        return json(res, 200, { conversations: [] }, { "content-disposition": 'attachment; filename="conversations.json"' });
      case "GET /v1/events":
        return this.stream(req, res, v);
      case "POST /v1/messages":
        return this.message(req, res, v, JSON.parse(body));
      case "POST /v1/responses": {
        const r = JSON.parse(body);
        json(res, 202, {});
        this.emit(v, "settled", { id: r.id, outcome: r.decision ?? "answered" });
        return this.answered?.(v, r);
      }
      case "DELETE /v1/session":
        res.writeHead(204).end();
        v.events = [];
        this.status(v, "ended");
        return;
      case "DELETE /v1/visitor":
        this.visitors.delete(token);
        res.writeHead(204).end();
        for (const s of v.streams) s.end(frame({ id: null, type: "problem", data: { code: "visitor_unknown", fatal: true } }));
        return;
      default:
        return problem(res, 404, "not_found");
    }
  }

  /** Ends a running turn; a turn that it never received is unknown. */
  stopTurn(res, v, turn) {
    if (!v.turns.has(turn)) return problem(res, 404, "turn_unknown");
    json(res, 202, {});
    if (!v.busy) return;
    this.emit(v, "turn_end", { reason: "stopped", code: null, turn });
    this.status(v, "sleeping");
  }

  introduce(res, token, foreign, { consent } = {}) {
    let v = this.visitors.get(token);
    if (!v) {
      token = randomBytes(32).toString("base64url");
      v = { epoch: 0, status: "none", busy: false, seq: 0, events: [], turns: new Map(), streams: new Set() };
      this.visitors.set(token, v);
      if (!foreign) res.setHeader("set-cookie", `relay_visitor=${token}; HttpOnly; SameSite=Lax; Path=${this.base || "/"}`);
    }
    if (consent && consent === this.consent?.version) v.agreed = new Date().toISOString();
    const last = v.events.findLast((e) => e.id)?.id ?? null;
    json(res, 200, {
      ...this.says,
      ...(this.consent ? { consent: { ...this.consent, given_at: v.agreed ?? null } } : {}),
      token: foreign ? token : null,
      expires_at: new Date(Date.now() + 864e5).toISOString(),
      session: { status: v.status, epoch: v.epoch, agent_busy: v.busy, last_event_id: last },
      limits: { max_message: 16384, max_attachment: 1 << 20, max_attachments: 3, attachment_types: ["image/png", "text/*"], ...this.limits },
    });
  }

  stream(req, res, v) {
    res.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", ...(this.varies ? { vary: "*" } : {}) });
    res.write(": hello\nretry: 300\n");
    res.write(frame({ id: null, type: "session", data: { status: v.status, epoch: v.epoch } }));
    const last = req.headers["last-event-id"];
    let from = 0;
    if (last) {
      const at = v.events.findIndex((e) => e.id === last);
      if (at < 0) res.write(frame({ id: null, type: "reset", data: { reason: "unknown_event_id" } }));
      else from = at + 1;
    }
    for (const e of v.events.slice(from)) res.write(frame(e));
    if (res.destroyed) return; // it will not be closed again
    v.streams.add(res);
    res.on("close", () => v.streams.delete(res));
  }

  message(req, res, v, { text, attachments = [] }) {
    const key = req.headers["idempotency-key"];
    if (this.consent && !v.agreed) return problem(res, 403, "consent_required");
    const known = v.turns.get(key);
    if (known) return json(res, 202, known);
    if (v.epoch === 0 || v.status === "ended") {
      v.epoch++;
      v.seq = 0;
      v.events = [];
    }
    if (v.status !== "running") this.status(v, "running");
    v.busy = true;
    const id = this.emit(v, "user", { text, attachments: attachments.map(({ name, mime }) => ({ name, mime })), turn: key });
    const answer = { turn: key, epoch: v.epoch, seq: Number(id.split("-")[1]) };
    v.turns.set(key, answer);
    json(res, 202, answer);
    void this.agent(this, v, text);
  }

  file(res, path) {
    const hash = (name) => createHash("sha256").update(readFileSync(new URL(name, files))).digest("hex").slice(0, 12);
    const hashed = (name) => `assets/${name.replace(/\.(\w+)$/, `.${hash(name)}.$1`)}`;
    res.setHeader("access-control-allow-origin", "*");
    res.setHeader("cross-origin-resource-policy", "cross-origin");
    if (path === "/widget.js") {
      const config = JSON.stringify({ panel: hashed("panel.js"), title: "", greeting: "", starters: [], accent: "", locale: "", ...this.settings });
      res.setHeader("content-type", types.js);
      return res.end(readFileSync(new URL("widget.js", files), "utf8").replace('"__RELAY_CONFIG__"', () => config));
    }
    const asset = /^\/assets\/(\w+)\.\w+\.(js|css)$/.exec(path);
    if (asset) {
      res.setHeader("content-type", types[asset[2]]);
      return res.end(readFileSync(new URL(`${asset[1]}.${asset[2]}`, files)));
    }
    if (path === "/") {
      res.setHeader("content-type", types.html);
      res.setHeader("content-security-policy", this.policy);
      return res.end('<!doctype html><meta name="viewport" content="width=device-width"><title>Chat</title><link rel="stylesheet" href="' + hashed("page.css") + '"><script async src="widget.js"></script><body><main><relay-chat mode="page"></relay-chat></main>');
    }
    return problem(res, 404, "not_found");
  }
}

function frame({ id, type, data }) {
  return `event: ${type}\ndata: ${JSON.stringify(data)}\n${id ? `id: ${id}\n` : ""}\n`;
}

export function json(res, status, body, headers = {}) {
  res.writeHead(status, { "content-type": "application/json", ...headers });
  res.end(JSON.stringify(body));
}

export function problem(res, status, code, retryAfter) {
  const more = retryAfter === undefined ? {} : { retry_after: retryAfter };
  json(res, status, { title: code, status, code, detail: `Refused: ${code}.`, ...more }, { "content-type": "application/problem+json", ...(retryAfter === undefined ? {} : { "retry-after": String(retryAfter) }) });
}

/** Responds like the relay behind a proxy; its loader has another name here. */
async function pass(req, res, relay) {
  const url = relay + req.url.replace("/chat/", "").replace("help.js", "widget.js");
  const body = req.method === "POST" ? req : undefined;
  const { host, connection, ...headers } = req.headers;
  const gone = new AbortController();
  res.on("close", () => gone.abort());
  const answer = await fetch(url, { method: req.method, headers: { ...headers, origin: new URL(relay).origin }, body, duplex: "half", signal: gone.signal });
  res.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "", "set-cookie": answer.headers.getSetCookie() });
  for await (const chunk of answer.body ?? []) res.write(chunk);
  res.end();
}

/**
 * A website that embeds the widget: one page, or pages by path. A page is its HTML, or
 * its body and headers.
 * @param {string|Record<string, string|{body: string, headers?: any}>} pages
 * @param {any} headers of the one page
 */
export async function startSite(pages, headers = {}) {
  const server = createServer((req, res) => {
    const all = typeof site.html === "string" ? { "/": { body: site.html, headers: site.headers } } : site.html;
    const path = new URL(req.url, "http://x").pathname;
    if (site.elsewhere && path.startsWith("/chat/")) return void pass(req, res, site.elsewhere).catch(() => res.destroy());
    const page = all[path];
    if (page === undefined) return res.writeHead(404).end();
    const { body = page, headers = {} } = page;
    res.writeHead(200, { "content-type": req.url.endsWith(".js") ? "text/javascript" : "text/html; charset=utf-8", ...headers });
    res.end(body);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  server.unref();
  const site = {
    html: pages,
    headers,
    elsewhere: "", // a relay behind /chat/
    url: `http://127.0.0.1:${server.address().port}/`,
    stop: () => {
      server.closeAllConnections();
      return new Promise((done) => server.close(done));
    },
  };
  return site;
}
