// @ts-check
// The agent's tools and prompts.

import { add, close, settle } from "./items.js";

/** @typedef {import("./view.js").View} View */
/** @typedef {import("./view.js").Option} Option */

/** @param {View} view @param {any} data @returns {View} */
export function tool(view, data) {
  const name = String(data.name ?? "");
  const at = view.items.findIndex((i) => i.kind === "tool" && i.name === name && i.state === "running");
  const state = toolState(data.state);
  if (at >= 0 && state !== "running") {
    return { ...view, busy: true, items: view.items.with(at, { ...view.items[at], state, text: data.summary || view.items[at].text }) };
  }
  if (state !== "running") return view; // the tool that ended had not been shown
  return add({ ...close(view), items: settle(close(view).items, null, "settled", false), busy: true }, { kind: "tool", name, text: data.summary ?? "", state });
}

/** @param {unknown} state */
function toolState(state) {
  if (/fail|error|denied/.test(String(state))) return "failed";
  return /done|complete|end|result|ok|output/.test(String(state)) ? "done" : "running";
}

/** @param {unknown} list @returns {Option[]} */
export function options(list) {
  if (!Array.isArray(list)) return [];
  return list.slice(0, 20).map((o) => ({ label: String(o?.label ?? o?.value ?? o ?? ""), detail: String(o?.description ?? "") })).filter((o) => o.label);
}
