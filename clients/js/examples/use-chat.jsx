// AI SDK's useChat with the relay. It streams, stops, and resumes after a reload.
import { useChat } from "@ai-sdk/react";
import { createRelayClient } from "@anyframe-relay/client";
import { RelayChatTransport, toMessages } from "@anyframe-relay/client/ai-sdk";
import { useEffect, useMemo, useState } from "react";
import { createRoot } from "react-dom/client";

const client = createRelayClient({ relay: document.body.dataset.relay });

function Chat({ past }) {
  const transport = useMemo(() => new RelayChatTransport(client), []);
  const { messages, sendMessage, stop, status, error } = useChat({ id: "relay", messages: past, transport, resume: true });
  const [text, setText] = useState("");
  const submit = (e) => {
    e.preventDefault();
    sendMessage({ text });
    setText("");
  };
  return (
    <main>
      {messages.map(({ id, role, parts }) => (
        <p key={id} data-role={role}>{parts.map((p) => p.text).join("\n")}</p>
      ))}
      {error && <p role="alert">{error.message}</p>}
      <form onSubmit={submit}>
        <input aria-label="Message" value={text} onChange={(e) => setText(e.target.value)} />
        {status === "ready" || status === "error" ? <button>Send</button> : <button type="button" onClick={stop}>Stop</button>}
        <output>{status}</output>
      </form>
    </main>
  );
}

/** Waits for the earlier messages. */
function App() {
  const [past, setPast] = useState(null);
  useEffect(() => client.messages.subscribe((view) => view.caughtUp && client.connection.get().state === "open" && setPast((was) => was ?? toMessages(view))), []);
  useEffect(() => client.connection.subscribe(({ state }) => state === "open" && client.messages.get().caughtUp && setPast((was) => was ?? toMessages(client.messages.get()))), []);
  return past && <Chat past={past} />;
}

createRoot(document.getElementById("app")).render(<App />);
