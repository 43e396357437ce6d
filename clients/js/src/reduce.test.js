import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyView, reduce } from "./reduce.js";

const session = (status, epoch = 1) => ({ type: "session", data: { status, epoch } });
const user = (id, text, turn = null) => ({ type: "user", id, data: { text, attachments: [], turn } });
const delta = (text) => ({ type: "text", data: { text, delta: true } });
const block = (id, text) => ({ type: "text", id, data: { text, delta: false } });
const end = (reason = "done") => ({ type: "turn_end", data: { reason } });
const pending = (turn, state = "sending") => ({ type: "pending", data: { turn, text: turn, attachments: [], state, code: "", detail: "", until: 0 } });
const connected = { type: "connected", data: null };

const run = (events, from = emptyView) => events.reduce(reduce, from);
const shown = (view) => [...view.items.map((i) => `${i.kind}: ${i.text}`), ...view.pending.map((p) => `${p.state}: ${p.text}`)];

test("a whole block takes the place of the pieces that said the same", () => {
  const view = run([session("running"), user("1-1", "hi"), delta("Hel"), delta("lo"), block("1-2", "Hello"), delta("Bye"), block("1-3", "Bye"), end()]);
  assert.deepEqual(shown(view), ["user: hi", "agent: Hello", "agent: Bye"]);
  assert.equal(view.busy, false);
});

test("a whole block that says something else stands beside the pieces", () => {
  const view = run([session("running"), delta("One"), block("1-2", "Two")]);
  assert.deepEqual(shown(view), ["agent: One", "agent: Two"]);
});

test("pieces before a tool are still replaced by their block after it", () => {
  const tool = { type: "tool", data: { name: "Bash", state: "running", summary: "ls" } };
  const view = run([session("running"), delta("Look"), tool, block("1-2", "Look")]);
  assert.deepEqual(shown(view), ["agent: Look", "tool: ls"]);
});

test("a block takes the place of its own pieces, not of those of an answer that was cut off", () => {
  const tool = { type: "tool", data: { name: "Bash", state: "running", summary: "ls" } };
  const view = run([session("running"), delta("Cut off"), end("stopped"), delta("First "), tool, delta("of all"), block("1-3", "First of all")]);
  assert.deepEqual(shown(view).filter((line) => line.startsWith("agent")), ["agent: Cut off", "agent: First ", "agent: of all"]);
});

test("what is said into a running turn does not tear the answer", () => {
  const view = run([session("running"), user("1-1", "a", "k1"), delta("One "), user("1-2", "b", "k2"), delta("two"), block("1-3", "One two"), end(), delta("Three")]);
  assert.deepEqual(shown(view), ["user: a", "agent: One two", "user: b", "agent: Three"]);
  assert.equal(view.busy, true, "the second turn is still to come");
  const after = run([block("1-4", "Three"), end()], view);
  assert.deepEqual(shown(after), ["user: a", "agent: One two", "user: b", "agent: Three"]);
  assert.equal(after.busy, false);
});

test("a block equals all pieces since the last one, whatever came between", () => {
  const tool = { type: "tool", data: { name: "Bash", state: "running", summary: "ls" } };
  const view = run([session("running"), delta("One "), tool, delta("two"), block("1-2", "One two"), delta("x"), block("1-3", "x")]);
  assert.deepEqual(shown(view), ["agent: One ", "tool: ls", "agent: two", "agent: x"]);
});

test("an agent that goes on has its tools done and its operator's word", () => {
  const tool = { type: "tool", data: { name: "Bash", state: "running", summary: "ls" } };
  const view = run([session("running"), tool, { type: "approval", data: { id: null } }, delta("Done")]);
  assert.equal(view.items[0].state, "done");
  assert.equal(view.items[1].outcome, "settled");
});

test("the relay's word that no turn runs ends the wait", () => {
  const view = run([session("running"), user("1-1", "a"), user("1-2", "b"), end()]);
  assert.equal(view.busy, true);
  assert.equal(reduce(view, { type: "idle", data: null }).busy, false);
});

test("a user event takes the place of the bubble with its key", () => {
  const view = run([session("running"), pending("k1"), pending("k2"), user("1-1", "k1", "k1")]);
  assert.deepEqual(shown(view), ["user: k1", "sending: k2"]);
  assert.deepEqual(shown(run([pending("k1", "sent")], view)), shown(view), "a late 202 brings no bubble back");
});

test("numbered events that were seen before change nothing", () => {
  const events = [session("running"), user("1-1", "hi", "k"), block("1-2", "Hello"), end()];
  const view = run(events);
  assert.equal(reduce(view, block("1-2", "Hello")), view);
  assert.equal(reduce(view, user("1-1", "hi", "k")), view);
});

test("a user event that comes late is put where its number belongs", () => {
  const view = run([session("running"), user("1-1", "a", "ka"), block("1-3", "A"), pending("kb"), user("1-2", "b", "kb")]);
  assert.deepEqual(shown(view), ["user: a", "agent: A", "user: b"]);
  assert.equal(view.lastEventId, "1-3");
  assert.deepEqual(shown(reduce(view, connected)), shown(view), "and stays over a reconnect");
});

test("what followed the last numbered event is dropped when a stream opens", () => {
  const before = run([session("running"), user("1-1", "hi", "k"), delta("Hel"), delta("lo")]);
  const view = reduce(before, connected);
  assert.deepEqual(shown(view), ["user: hi"]);
  assert.deepEqual(shown(run([session("running"), delta("Hel"), delta("lo"), delta("!"), block("1-2", "Hello!")], view)), ["user: hi", "agent: Hello!"]);
});

test("cutting the stream anywhere and coming back shows the same", () => {
  const log = [
    user("1-1", "a", "k1"), delta("One "), delta("two"), block("1-2", "One two"), { type: "tool", data: { name: "Bash", state: "running", summary: "ls" } },
    { type: "tool", data: { name: "Bash", state: "done", summary: "ls" } }, delta("Three"), block("1-3", "Three"), { type: "question", id: "1-4", data: { id: "q", question: "Which?", options: ["x", "y"] } },
    { type: "settled", id: "1-5", data: { id: "q", outcome: "answered" } }, block("1-6", "Done."), end(), user("1-7", "b", "k2"), delta("Fo"), delta("ur"), block("1-8", "Four"), end("failed"),
  ];
  const whole = run([session("running"), ...log]);
  for (let first = 0; first <= log.length; first++) {
    for (let second = first; second <= log.length; second++) {
      let view = run([connected, session("running"), ...log.slice(0, first)]);
      for (const stop of [second, log.length]) {
        const from = view.lastEventId ? log.findIndex((e) => e.id === view.lastEventId) + 1 : 0;
        view = run([connected, session("running"), ...log.slice(from, stop)], view);
      }
      assert.deepEqual(view.items, whole.items, `cut at ${first} and ${second}`);
      assert.equal(view.busy, false);
    }
  }
});

test("an ended session leaves an empty view, and its echo is ignored", () => {
  const view = run([session("running"), user("1-1", "hi", "k"), block("1-2", "Hello"), end(), session("ended")]);
  assert.deepEqual(shown(view), []);
  assert.deepEqual(shown(run([delta("late"), block("1-3", "late"), user("1-4", "late")], view)), []);
  assert.deepEqual(shown(run([session("running", 2), user("2-1", "new", "n"), block("2-2", "Hi")], view)), ["user: new", "agent: Hi"]);
});

test("what is left of an earlier epoch is ignored", () => {
  const view = run([session("running"), user("1-1", "a"), session("booting", 2), block("1-2", "late")]);
  assert.deepEqual(shown(view), []);
});

test("a reset forgets what was shown but not what was not yet sent", () => {
  const view = run([session("running"), user("1-1", "hi"), pending("k"), { type: "reset", data: { reason: "new_session" } }]);
  assert.deepEqual(shown(view), ["sending: k"]);
  assert.equal(view.lastEventId, null);
});

test("history is not news, and an idle agent's history leaves it idle", () => {
  const hello = { type: "hello", data: { last_event_id: "1-2", agent_busy: false } };
  let view = run([hello, session("running"), user("1-1", "hi")]);
  assert.equal(view.caughtUp, false);
  view = reduce(view, block("1-2", "Hello"));
  assert.equal(view.caughtUp, true);
  assert.equal(view.busy, false, "the end of the turn was not kept, but it ended");
  assert.equal(reduce(view, user("1-3", "more")).busy, true);
  assert.equal(reduce(reduce(view, user("1-3", "more")), hello).caughtUp, true, "an introduction may be older than the view");
});

test("a question shows the answer chosen here, or that it was answered elsewhere", () => {
  const ask = { type: "question", id: "1-1", data: { id: "q", question: "Which?", options: ["a", { label: "b", description: "B" }] } };
  const settled = { type: "settled", id: "1-2", data: { id: "q", outcome: "answered" } };
  const open = run([session("running"), ask]);
  assert.deepEqual(open.items[0].options, [{ label: "a", detail: "" }, { label: "b", detail: "B" }]);
  const mine = run([{ type: "chosen", data: { id: "q", mine: "b" } }, connected, settled], open);
  assert.equal(mine.items[0].mine, "b");
  assert.equal(mine.items[0].elsewhere, false);
  assert.equal(reduce(open, settled).items[0].elsewhere, true);
});

test("the operator's decision ends the wait for it", () => {
  const view = run([session("running"), { type: "approval", id: "1-1", data: { id: null } }]);
  assert.equal(view.items[0].outcome, null);
  assert.equal(reduce(view, { type: "settled", id: "1-2", data: { id: null, outcome: "approve" } }).items[0].outcome, "approve");
  assert.equal(reduce(view, end()).items[0].outcome, "settled");
});

test("a failed turn says so", () => {
  const view = run([session("running"), user("1-1", "hi"), { type: "turn_end", data: { reason: "failed", code: "agent_failed" } }]);
  assert.deepEqual(shown(view), ["user: hi", "end: failed"]);
});

test("a block and its pieces are one text, however it is composed, cut and broken into lines", () => {
  for (const [name, block_, ...pieces] of [
    ["Latin, decomposed", "Caf\u00e9 cr\u00e8me", "Cafe", "\u0301 cre\u0300me"],
    ["Vietnamese", "Ti\u1ebfng Vi\u1ec7t", "Tie\u0302\u0301ng Vie\u0323\u0302t"],
    ["Korean, in jamo", "\ud55c\uad6d\uc5b4", "\u1112\u1161\u11ab\u1100\u116e", "\u11a8\u110b\u1165"],
    ["Japanese, voiced marks apart", "\u30ac\u30a4\u30c9", "\u30ab\u3099\u30a4\u30c8", "\u3099"],
    ["Arabic, composed", "\u0622\u0628", "\u0627\u0653\u0628"],
    ["Thai", "\u0e19\u0e33 \u0e17\u0e35\u0e48", "\u0e19\u0e33 \u0e17\u0e35", "\u0e48"],
    ["Chinese, a compatible ideograph", "\u8c48\u66f4", "\uf900", "\uf901"],
    ["line ends", "a\nb\nc", "a\r\nb\r", "\nc"],
    ["a pair over two pieces", "so \u{1f600} it", "so \ud83d", "\ude00 it"],
    ["bytes over two pieces", "\u4f60\u597d\uff0c\u4e16\u754c", "\u4f60\ufffd", "\ufffd\uff0c\u4e16\u754c"],
    ["bytes at both ends", "\u{1f600}(x)\u{1f600}", "\ufffd\ufffd", "\ufffd\ufffd(x)\ufffd", "\ufffd"],
  ]) {
    const view = run([session("running"), user("1-1", "hi"), ...pieces.map(delta), block("1-2", block_)]);
    assert.deepEqual(shown(view), ["user: hi", `agent: ${block_}`], name);
  }
  // The comparison takes no longer than reading, however many cuts there are.
  const cut = run([session("running"), user("1-1", "hi"), delta("a\ufffd".repeat(5000)), block("1-2", `${"a".repeat(14000)}b`)]);
  assert.equal(cut.items.length, 3);
  // Different texts stay separate.
  for (const [a, b] of [["\ufffd b", "something else"], ["a\ufffdb", "ab"], ["cafe", "caf\u00e9"], ["a b", "a\nb"]]) {
    assert.equal(run([session("running"), user("1-1", "hi"), delta(a), block("1-2", b)]).items.length, 3, a);
  }
});

test("an event that was skipped is noted, and its place is where the stream goes on", () => {
  const view = run([session("running"), user("1-1", "hi"), delta("On"), { type: "skipped", id: "1-2", data: {} }, block("1-3", "Then")]);
  assert.equal(view.lastEventId, "1-3");
  assert.deepEqual(view.items.map((i) => i.code ?? i.kind), ["user", "agent", "event_skipped", "agent"]);
  assert.equal(run([session("running"), { type: "skipped", id: "1-2", data: {} }]).lastEventId, "1-2");
});

test("an approval that was shortened says so", () => {
  const ask = (data) => run([session("running"), { type: "approval", id: "1-1", data: { id: "a", tool: "Bash", input: {}, ...data } }]).items[0].truncated;
  assert.deepEqual([ask({ truncated: true }), ask({}), ask({ truncated: "no" })], [true, false, false]);
});
