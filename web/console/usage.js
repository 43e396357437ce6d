// The usage chart of the last 30 days in the console: bars for turns and new conversations,
// a summary of today, and a table with the same numbers for screen readers. It is created
// once and updated in place.

const span = 30; // days
const wide = 10; // width of one day, in SVG units
const high = 60;
const svgNS = "http://www.w3.org/2000/svg";

/** @typedef {{date: string, site: string, turns: number, sessions: number, feedback: {up: number, down: number}}} Used */
/** @typedef {{date: string, turns: number, sessions: number, up: number, down: number}} Day */

/** The days to show, earliest first, of one site, or of all sites if site is "".
 * @param {Used[]} rows @param {string} site @returns {Day[]} */
export function daysOf(rows, site) {
  const last = rows.reduce((latest, r) => (r.date > latest ? r.date : latest), "") || new Date().toISOString().slice(0, 10);
  /** @type {Map<string, Day>} */
  const days = new Map();
  for (let i = span - 1; i >= 0; i--) {
    const date = new Date(Date.parse(`${last}T00:00:00Z`) - i * 86_400_000).toISOString().slice(0, 10);
    days.set(date, { date, turns: 0, sessions: 0, up: 0, down: 0 });
  }
  for (const r of rows) {
    const day = days.get(r.date);
    if (!day || (site && r.site !== site)) continue;
    day.turns += r.turns;
    day.sessions += r.sessions;
    day.up += r.feedback.up;
    day.down += r.feedback.down;
  }
  return [...days.values()];
}

const number = new Intl.NumberFormat("en");
/** @param {number} n @param {string} one @param {string} many */
const count = (n, one, many) => `${number.format(n)} ${n === 1 ? one : many}`;
/** @param {Day} d */
const words = (d) => `${count(d.turns, "turn", "turns")}, ${count(d.sessions, "new conversation", "new conversations")}, rated ${number.format(d.up)} up and ${number.format(d.down)} down`;

/** @param {string} tag @param {Record<string, string|number>} attrs */
function shape(tag, attrs) {
  const e = document.createElementNS(svgNS, tag);
  for (const [name, value] of Object.entries(attrs)) e.setAttribute(name, String(value));
  return e;
}

/** The chart below the heading "Usage". */
export class Chart {
  /** @param {(id: string) => HTMLElement} at */
  constructor(at) {
    this.at = at;
    this.site = /** @type {HTMLSelectElement} */ (at("usage-site"));
    this.shown = "";
    /** @type {Used[]} */
    this.rows = [];
    this.svg = shape("svg", { viewBox: `0 0 ${span * wide} ${high}`, preserveAspectRatio: "none", role: "img", "aria-labelledby": "usage-caption" });
    /** @type {{turns: Element, sessions: Element, tip: Element, cells: HTMLElement[]}[]} */
    this.bars = [];
    for (let i = 0; i < span; i++) {
      const day = shape("g", {});
      const tip = shape("title", {});
      const room = shape("rect", { class: "room", x: i * wide, y: 0, width: wide, height: high });
      const turns = shape("rect", { class: "turns", x: i * wide + 1, width: 5 });
      const sessions = shape("rect", { class: "sessions", x: i * wide + 6, width: 3 });
      day.append(tip, room, turns, sessions);
      this.svg.append(day);
      this.bars.push({ turns, sessions, tip, cells: [] });
    }
    at("usage-chart").prepend(this.svg);
    for (const bar of [...this.bars].reverse()) { // today first
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      bar.cells = [head, ...Array.from({ length: 4 }, () => document.createElement("td"))];
      row.append(...bar.cells);
      at("usage-rows").append(row);
    }
    this.site.addEventListener("change", () => this.draw());
  }

  /** @param {Used[]} rows of GET /api/usage */
  show(rows) {
    this.rows = rows;
    const sites = [...new Set(rows.map((r) => r.site))];
    this.at("usage-sites").hidden = sites.length < 2;
    const options = ["", ...sites];
    if (options.join() !== [...this.site.options].map((o) => o.value).join()) {
      const chosen = this.site.value;
      this.site.replaceChildren(...options.map((s) => new Option(s || "all", s)));
      this.site.value = sites.includes(chosen) ? chosen : "";
    }
    this.draw();
  }

  draw() {
    const days = daysOf(this.rows, this.site.value);
    const shown = JSON.stringify(days);
    if (shown === this.shown) return;
    this.shown = shown;
    const most = Math.max(1, ...days.map((d) => Math.max(d.turns, d.sessions)));
    for (const [i, d] of days.entries()) {
      const bar = this.bars[i];
      for (const [rect, n] of /** @type {[Element, number][]} */ ([[bar.turns, d.turns], [bar.sessions, d.sessions]])) {
        const height = n && Math.max(1, (n / most) * high); // a value above 0 is always visible
        rect.setAttribute("y", String(high - height));
        rect.setAttribute("height", String(height));
      }
      bar.tip.textContent = `${d.date}: ${words(d)}`;
      [d.date, d.turns, d.sessions, d.up, d.down].forEach((v, n) => (bar.cells[n].textContent = typeof v === "number" ? number.format(v) : v));
    }
    const sum = days.reduce((a, d) => ({ date: "", turns: a.turns + d.turns, sessions: a.sessions + d.sessions, up: a.up + d.up, down: a.down + d.down }));
    this.at("usage-today").textContent = `Today: ${words(days[span - 1])}.`;
    this.at("usage-caption").textContent = `30 days to ${days[span - 1].date} (UTC): ${words(sum)}. The highest bar is ${number.format(most)}.`;
    this.at("usage-first").textContent = days[0].date;
    this.at("usage-last").textContent = days[span - 1].date;
  }
}
