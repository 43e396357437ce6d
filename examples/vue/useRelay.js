import { createRelayClient } from "@anyframe-relay/client";
import { onScopeDispose, shallowRef } from "vue";

/** Subscribes to one of the client's stores until the component is unmounted. */
function follow(store) {
  const ref = shallowRef(store.get());
  onScopeDispose(store.subscribe((value) => (ref.value = value)));
  return ref;
}

/** A conversation with the agent. Views are immutable, so a shallow ref is enough. */
export function useRelay(options) {
  const client = createRelayClient(options);
  onScopeDispose(() => client.close());
  return { client, conversation: follow(client.messages), connection: follow(client.connection), visitor: follow(client.visitor) };
}
