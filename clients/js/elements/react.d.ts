import type { DetailedHTMLProps, HTMLAttributes } from "react";
import type { RelayChatAttributes, RelayChatElement } from "./index.js";

export * from "./index.js";

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "relay-chat": Omit<DetailedHTMLProps<HTMLAttributes<RelayChatElement>, RelayChatElement>, keyof RelayChatAttributes> & RelayChatAttributes;
    }
  }
}
