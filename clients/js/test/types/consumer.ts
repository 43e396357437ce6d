// A consumer in strict TypeScript, compiled with and without the DOM's types.
import { createRelayClient, Problem } from "@anyframe-relay/client";
import type { Item, Past, RelayClient, Turn, View } from "@anyframe-relay/client";

const client: RelayClient = createRelayClient({ relay: "https://relay.example.com", site: "support", identity: async () => "jwt", storage: null });
const leave: () => void = client.messages.subscribe((view: View) => {
  for (const item of view.items) show(item);
});

function show({ kind, text, open }: Item): string {
  return kind === "agent" ? `${text}${open ? "…" : ""}` : text;
}

export async function main(): Promise<void> {
  client.setContext(() => ({ page: "pricing", items: 3, member: true }));
  const turn: Turn = client.send("Hello", [{ name: "a.txt", mime: "text/plain", data: new Uint8Array([104, 105]) }]);
  try {
    const { reason, text } = await turn.finished();
    await client.feedback(turn.key, reason === "done" ? "up" : null, text);
  } catch (err) {
    if (!(err instanceof Problem)) throw err;
    const seconds: number | null = err.retryAfter;
    switch (err.code) {
      case "turn_budget":
      case "unreachable":
        console.log(seconds);
    }
  }
  const past: Past[] = await client.conversations();
  for (const { epoch, current } of past) if (!current) show((await client.read(epoch)).items[0]);
  await client.stop();
  await client.respond("p1-1", { decision: "deny" });
  leave();
  client.close();
}

// @ts-expect-error a rating is a string
void client.feedback("k", 5);
// @ts-expect-error the relay's URL is required
createRelayClient({});
