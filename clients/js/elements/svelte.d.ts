import type { HTMLAttributes } from "svelte/elements";
import type { RelayChatAttributes, RelayChatElement } from "./index.js";

export * from "./index.js";

declare module "svelte/elements" {
  interface SvelteHTMLElements {
    "relay-chat": Omit<HTMLAttributes<RelayChatElement>, keyof RelayChatAttributes> & RelayChatAttributes;
  }
}
