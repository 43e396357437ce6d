// assistant-ui's primitives with a conversation of the relay.
import { ActionBarPrimitive, AssistantRuntimeProvider, AttachmentPrimitive, ComposerPrimitive, ErrorPrimitive, MessagePrimitive, ThreadPrimitive, useExternalStoreRuntime } from "@assistant-ui/react";
import { createRelayClient } from "@anyframe-relay/client";
import { assistantStore } from "@anyframe-relay/client/assistant-ui";
import { useState, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";

const client = createRelayClient({ relay: document.body.dataset.relay });
const store = assistantStore(client);

function Chat() {
  const runtime = useExternalStoreRuntime(useSyncExternalStore(store.subscribe, store.get));
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <ThreadPrimitive.Root>
        <ThreadPrimitive.Messages>{({ message }) => <Message role={message.role} />}</ThreadPrimitive.Messages>
        <ComposerPrimitive.Root>
          <ComposerPrimitive.Attachments>{() => <Attachment />}</ComposerPrimitive.Attachments>
          <ComposerPrimitive.AddAttachment>Attach</ComposerPrimitive.AddAttachment>
          <ComposerPrimitive.Input aria-label="Message" />
          <ComposerPrimitive.Send>Send</ComposerPrimitive.Send>
          <ComposerPrimitive.Cancel>Stop</ComposerPrimitive.Cancel>
        </ComposerPrimitive.Root>
      </ThreadPrimitive.Root>
    </AssistantRuntimeProvider>
  );
}

function Message({ role }) {
  return (
    <MessagePrimitive.Root data-role={role}>
      <MessagePrimitive.Attachments>{() => <Attachment />}</MessagePrimitive.Attachments>
      <MessagePrimitive.Parts components={{ Text: ({ text }) => <p>{text}</p>, tools: { Override: Tool } }} />
      <MessagePrimitive.Error>
        <ErrorPrimitive.Root role="alert">
          <ErrorPrimitive.Message />
        </ErrorPrimitive.Root>
      </MessagePrimitive.Error>
      {role === "assistant" && <ActionBarPrimitive.FeedbackPositive>Helpful</ActionBarPrimitive.FeedbackPositive>}
    </MessagePrimitive.Root>
  );
}

function Attachment() {
  return (
    <AttachmentPrimitive.Root data-attachment>
      <AttachmentPrimitive.Name />
    </AttachmentPrimitive.Root>
  );
}

/** A tool, a question from the agent, or a request for approval. */
function Tool({ toolName, result, approval, respondToApproval }) {
  const [text, setText] = useState("");
  if (!approval || approval.approved !== undefined || approval.resolution) return <p data-tool={toolName}>{`${toolName} ${result ?? "…"}`}</p>;
  if (approval.display === "decision") {
    return (
      <p data-tool={toolName}>
        {toolName} <button onClick={() => respondToApproval({ approved: true })}>Allow</button>
        <button onClick={() => respondToApproval({ approved: false })}>Deny</button>
      </p>
    );
  }
  return (
    <p data-tool={toolName}>
      {approval.prompt}
      {approval.options?.map(({ id, label }) => <button key={id} onClick={() => respondToApproval({ approved: true, optionId: id })}>{label}</button>)}
      <input aria-label="Answer" value={text} onChange={(e) => setText(e.target.value)} />
      <button onClick={() => respondToApproval({ text })}>Answer</button>
    </p>
  );
}

createRoot(document.getElementById("app")).render(<Chat />);
