import { createRelayClient } from "@anyframe-relay/client";
import { onScopeDispose, shallowRef } from "vue";

/** What one of the client's stores holds, for as long as the component lives. */
function follow(store) {
  const ref = shallowRef(store.get());
  onScopeDispose(store.subscribe((value) => (ref.value = value)));
  return ref;
}

/** A conversation with the agent. Views never change, so a shallow ref is enough. */
export function useRelay(options) {
  const client = createRelayClient(options);
  onScopeDispose(() => client.close());
  return { client, conversation: follow(client.messages), connection: follow(client.connection), visitor: follow(client.visitor) };
}
