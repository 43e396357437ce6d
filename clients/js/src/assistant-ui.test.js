import assert from "node:assert/strict";
import { test } from "node:test";
import { assistantStore } from "./assistant-ui.js";
import { emptyView, reduce } from "./reduce.js";

const limits = { max_attachments: 2, attachment_types: ["text/plain", "image/png"] };

/** A client whose view is set by a test's events, and a log of the calls it received. */
function fake(events, introduction = { limits, feedback: true }) {
  const asked = [];
  let view = { ...emptyView, caughtUp: true };
  const client = {
    messages: { get: () => view, subscribe: () => () => {} },
    connection: { get: () => ({ state: "open" }), subscribe: () => () => {} },
    visitor: { get: () => introduction, subscribe: () => () => {} },
    ...Object.fromEntries(["send", "stop", "retry", "respond", "feedback"].map((name) => [name, async (...args) => void asked.push([name, ...args])])),
  };
  const apply = (type, data, id = null) => void (view = reduce(view, { type, data, id }));
  for (const event of events) apply(...event);
  return { client, asked, apply, store: assistantStore(client) };
}

const hello = [["user", { text: "hello", turn: "t1", attachments: [{ name: "a.png", mime: "image/png" }] }, "1-1"], ["text", { text: "Hi", delta: true }, "1-2"]];

test("a message that did not change is the same object", () => {
  const { store, apply } = fake(hello);
  const before = store.get();
  assert.equal(store.get(), before);
  assert.equal(before.isRunning, true);
  assert.deepEqual(before.messages.map((m) => [m.id, m.role, m.status?.type]), [["t1", "user", undefined], ["answer-t1", "assistant", "running"]]);
  assert.deepEqual(before.messages[0].attachments.map((a) => [a.name, a.type]), [["a.png", "image"]]);
  apply("text", { text: " there", delta: true }, "1-3");
  const after = store.get();
  assert.equal(after.messages[0], before.messages[0]);
  assert.deepEqual(after.messages[1].content, [{ type: "text", text: "Hi there" }]);
});

test("how a turn ended is the status of its answer", () => {
  for (const [reason, want] of [["done", { type: "complete", reason: "stop" }], ["stopped", { type: "incomplete", reason: "cancelled" }], ["failed", { type: "incomplete", reason: "error", error: "The agent stopped before it was done." }]]) {
    const { store } = fake([...hello, ["turn_end", { reason, turn: "t1" }, "1-3"]]);
    assert.deepEqual(store.get().messages[1].status, want);
    assert.equal(store.get().isRunning, false);
  }
});

test("a turn that the relay refused says why, and can be sent again", async () => {
  const { store, asked } = fake([["pending", { turn: "t2", text: "hello", attachments: [], state: "failed", code: "rate_limited", detail: "Too many messages.", until: 0 }]]);
  const [question, answer] = store.get().messages;
  assert.deepEqual([question.id, answer.status], ["t2", { type: "incomplete", reason: "error", error: "Too many messages." }]);
  await store.get().onReload("t2");
  assert.deepEqual(asked, [["retry", "t2"]]);
  assert.equal(fake(hello).store.get().onReload, undefined);
});

test("prompts are tool calls with an approval, the operator's without", async () => {
  const { store, asked, apply } = fake([...hello,
    ["question", { id: "q", question: "Which?", options: ["one", "two"] }, "1-3"], ["approval", { id: "p", tool: "Bash", input: { command: "ls" } }, "1-4"], ["approval", { id: null }, "1-5"]]);
  const { content, status } = store.get().messages[1];
  assert.deepEqual(content.slice(1).map((c) => [c.toolName, c.approval?.id, c.approval?.display]), [["question", "q", "select"], ["Bash", "p", "decision"], ["approval", undefined, undefined]]);
  assert.equal(status.type, "requires-action");
  await store.get().onRespondToToolApproval({ approvalId: "q", approved: true, optionId: "two" });
  await store.get().onRespondToToolApproval({ approvalId: "p", approved: false });
  assert.deepEqual(asked, [["respond", "q", { answer: "two" }], ["respond", "p", { decision: "deny" }]]);
  apply("settled", { id: "q", outcome: "answered" }, "1-6");
  apply("settled", { id: "p", outcome: "stopped" }, "1-7");
  assert.deepEqual(store.get().messages[1].content.slice(1, 3).map(({ approval: { approved, resolution } }) => [approved, resolution]), [[true, undefined], [undefined, "cancelled"]]);
});

test("files go out as they are, whichever adapter took them", async () => {
  const { store, asked } = fake([]);
  const { attachments } = store.get().adapters;
  assert.equal(attachments.accept, "text/plain,image/png");
  const file = new File(["words"], "a.txt", { type: "text/plain" });
  const ours = await attachments.send(await attachments.add({ file }));
  const image = { name: "b.png", contentType: "image/png", content: [{ type: "image", image: "data:image/png;base64,AAAA" }] };
  const other = { name: "c.txt", contentType: "text/plain", content: [{ type: "file", data: btoa("plain"), mimeType: "text/plain" }] };
  await store.get().onNew({ content: [{ type: "text", text: "look" }], attachments: [ours, image, other] });
  const [[, text, sent]] = asked;
  assert.equal(text, "look");
  assert.deepEqual(sent.map((f) => [f.name, f.mime]), [["a.txt", "text/plain"], ["b.png", "image/png"], ["c.txt", "text/plain"]]);
  assert.deepEqual([await sent[0].data.text(), sent[1].data.size, await sent[2].data.text()], ["words", 3, "plain"]);
  assert.equal(fake([], { limits: { max_attachments: 0 } }).store.get().adapters.attachments, undefined);
});

test("an answer is rated by its turn", async () => {
  const { store, asked, apply } = fake([...hello, ["turn_end", { reason: "done", turn: "t1" }, "1-3"]]);
  store.get().adapters.feedback.submit({ message: store.get().messages[1], type: "negative" });
  assert.deepEqual(asked, [["feedback", "t1", "down", undefined]]);
  apply("feedback", { turn: "t1", rating: "down" });
  assert.deepEqual(store.get().messages[1].metadata.submittedFeedback, { type: "negative" });
});
