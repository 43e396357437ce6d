// What axe finds on a page.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const source = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The rules that the widget follows: WCAG 2.2 AA. */
export const wcag = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

/**
 * Runs axe when no animation is under way: text that fades in has too little contrast.
 * Animations without an end are not waited for.
 *
 * @param {any} page
 * @param {{ within?: string[], rules?: string[] }} [options] selectors of what is examined, the whole page unless
 *   told; those that match nothing are left out. And tags of axe's rules, all unless told.
 * @returns {Promise<string[]>} each violation, with its elements and what is wrong with them
 */
export async function violations(page, { within, rules } = {}) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(source);
  const found = await page.evaluate(async ([within, rules]) => {
    const roots = [document];
    for (const root of roots) {
      for (const el of root.querySelectorAll("*")) if (el.shadowRoot) roots.push(el.shadowRoot);
    }
    const ending = roots.flatMap((root) => root.getAnimations()).filter((a) => a.effect.getComputedTiming().endTime !== Infinity);
    await Promise.allSettled(ending.map((a) => a.finished));
    const context = within ? { include: within.filter((s) => document.querySelector(s)).map((s) => [s]) } : document;
    return window.axe.run(context, rules ? { runOnly: rules } : {});
  }, [within, rules]);
  if (found.passes.length === 0) throw new Error("axe examined nothing");
  return found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join("; ")}`);
}
