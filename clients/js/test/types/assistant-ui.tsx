// The store matches the input of assistant-ui's runtime, in strict TypeScript.
import { useExternalStoreRuntime } from "@assistant-ui/react";
import type { AssistantRuntime, ExternalStoreAdapter, ThreadMessageLike } from "@assistant-ui/react";
import { createRelayClient } from "@anyframe-relay/client";
import { assistantStore } from "@anyframe-relay/client/assistant-ui";
import { useSyncExternalStore } from "react";

const store = assistantStore(createRelayClient({ relay: "https://relay.example.com" }));

export function useRelay(): AssistantRuntime {
  const adapter = useSyncExternalStore(store.subscribe, store.get);
  const taken: ExternalStoreAdapter<ThreadMessageLike> = { ...adapter, convertMessage: (message) => message };
  void taken;
  return useExternalStoreRuntime(adapter);
}
