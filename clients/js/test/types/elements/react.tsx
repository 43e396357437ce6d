import "@anyframe-relay/client/elements/react";
import type { RelayChatElement } from "@anyframe-relay/client/elements";
import { useRef } from "react";

export function Help() {
  const chat = useRef<RelayChatElement>(null);
  return (
    <>
      <button onClick={() => chat.current?.open({ message: "Hello" })}>Help</button>
      <relay-chat ref={chat} mode="inline" title="Ask us" z-index={5} open className="chat" />
      {/* @ts-expect-error there is no such mode */}
      <relay-chat mode="window" />
    </>
  );
}

window.RelayChat.on("message", ({ role, text }) => console.log(role === "agent" ? text : ""));
document.querySelector("relay-chat")?.setContext(() => ({ plan: "free" }));
