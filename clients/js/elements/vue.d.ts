import type { DefineComponent } from "vue";
import type { RelayChatAttributes } from "./index.js";

export * from "./index.js";

declare module "vue" {
  interface GlobalComponents {
    "relay-chat": DefineComponent<RelayChatAttributes>;
  }
}
