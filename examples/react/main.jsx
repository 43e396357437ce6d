import { useState } from "react";
import { createRoot } from "react-dom/client";
import { RelayChat } from "./RelayChat.jsx";

function App() {
  const [shown, show] = useState(true);
  const [last, hear] = useState(null);
  return (
    <>
      <h1>A React page</h1>
      <button onClick={() => show(!shown)}>{shown ? "Hide" : "Show"} the chat</button>
      <p id="last">{last ? `${last.role}: ${last.text}` : "Nothing said yet."}</p>
      <div className="chat">{shown && <RelayChat relay="http://localhost:8080" mode="inline" title="Assistant" onMessage={hear} />}</div>
    </>
  );
}

createRoot(document.getElementById("root")).render(<App />);
