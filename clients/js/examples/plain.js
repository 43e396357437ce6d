// A chat in plain JavaScript: streaming messages, with stop and retry.
import { createRelayClient } from "@anyframe-relay/client";

const client = createRelayClient({ relay: document.body.dataset.relay });
const [log, form, field, stop] = ["log", "form", "field", "stop"].map((id) => document.getElementById(id));

function row(role, text, ...more) {
  const p = document.createElement("p");
  p.dataset.role = role;
  p.append(text, ...more);
  return p;
}

function button(label, act) {
  return Object.assign(document.createElement("button"), { textContent: label, onclick: act });
}

client.messages.subscribe(({ items, pending, busy }) => {
  const choose = (item) => item.options.map(({ label }) => button(label, () => client.respond(item.id, { answer: label })));
  const said = items.map((item) => row(item.kind, item.text, ...(item.kind === "question" && item.outcome === null ? choose(item) : [])));
  const waiting = pending.map((p) => row("user", p.text, ...(p.state === "failed" ? [p.detail, button("Retry", () => client.retry(p.turn))] : [])));
  log.replaceChildren(...said, ...waiting);
  stop.hidden = !busy && !pending.some((p) => p.state !== "failed");
});

stop.onclick = () => client.stop();
form.onsubmit = (e) => {
  e.preventDefault();
  client.send(field.value);
  form.reset();
};
