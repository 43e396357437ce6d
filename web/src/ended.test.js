import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyView, reduce } from "../../clients/js/src/reduce.js";
import { failedBy } from "./ended.js";

/** The items of a conversation. A word is a message, "-word" fails its turn, "+word" completes it. */
function items(...words) {
  let view = emptyView;
  for (const word of words) {
    const turn = word.replace(/^[-+]/, "");
    if (word === turn) view = reduce(view, { type: "user", data: { text: turn, turn } });
    else view = reduce(view, { type: "turn_end", data: { reason: word[0] === "-" ? "failed" : "done", turn } });
  }
  return view.items;
}

/** The messages that the ends of failed turns belong to. */
const said = (all) => all.filter((i) => i.kind === "end").map((end) => failedBy(all, end)?.text);

test("each failed turn has its own message", () => {
  assert.deepEqual(said(items("a", "-a", "b", "+b", "c", "-c", "d")), ["a", "c"]);
  assert.deepEqual(said(items("a", "b", "-a", "-b")), ["a", "b"], "sent while the other ran");
  assert.deepEqual(said(items("a", "b", "+a", "c", "-b", "+c")), ["b"]);
});

test("the end of an unknown turn belongs to the message before it", () => {
  assert.deepEqual(said(items("a", "+a", "b", "-x")), ["b"]);
  assert.deepEqual(said(items("-x", "a", "-a")), [undefined, "a"]);
  assert.equal(failedBy(items("a", "-a"), { key: "elsewhere" }), undefined);
});
