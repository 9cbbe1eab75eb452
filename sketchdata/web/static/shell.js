/** The frame of the report and the curation page: the table of classes, or one class, chosen by the address. */

import { ClassTable, columnsOf } from "sketchdata/class_table.js";
import { count, element, isTyping, keyDialog, provenance } from "sketchdata/elements.js";

const KEYS = [["/", "Search classes"], ["↑ ↓", "Walk through the table"], ["Enter", "Open a class"], ["n, p", "Next and previous class"], ["Esc", "Back"], ["?", "This help"]];

/**
 * @param {object} settings overview: what `sketchdata.web.views.overview` made; title; `showClass(row)` returns the body
 *   of a class's view; extra: more columns of the table; keys: [[key, what it does]] to list beside the frame's own.
 */
export class Shell {
  constructor({ overview, title, showClass, extra = [], keys = [] }) {
    this.overview = overview;
    this.title = title;
    this.showClass = showClass;
    for (const row of overview.classes) row.places = places(row);
    this.table = new ClassTable({ classes: overview.classes, columns: [...columnsOf(overview), ...extra] });
    this.help = keyDialog([...KEYS, ...keys]);
    this.main = document.querySelector("main");
    document.querySelector("#help").addEventListener("click", () => this.help.showModal());
    document.body.append(this.help);
    this.list = element("section", { class: "list" }, element("h1", { tabindex: -1 }, title), element("p", { class: "lead" }, overview.lead), tallyList(overview.tallies), this.table.element);
    document.querySelector("footer").append(...provenance(overview.facts));
    addEventListener("hashchange", () => this.route());
    addEventListener("keydown", (event) => this.#key(event));
    this.route();
  }

  /** Show the class that the address names, or the table. */
  route() {
    const before = this.current;
    const word = wordIn(location.hash);
    this.current = this.overview.classes.find((row) => row.word === word) ?? null;
    if (this.current === before) return; // replacing the view by the same one would lose the focus
    document.title = this.current ? `${this.current.word} – ${this.title}` : this.title;
    if (this.current) this.#open(this.current);
    else {
      this.main.replaceChildren(this.list);
      if (before) this.table.focus(before.label);
    }
  }

  #open(row) {
    const heading = element("h1", { tabindex: -1 }, row.word);
    const step = (by, text, key) => {
      const target = this.table.neighbour(row.label, by);
      return target && element("a", { class: "button", href: linkTo(target), "aria-keyshortcuts": key }, text);
    };
    const steps = element("nav", { class: "steps", "aria-label": "Classes" }, element("a", { class: "button", href: "#/" }, "All classes"), step(-1, "← Previous", "p"), step(1, "Next →", "n"));
    const view = element("section", { class: "class" }, element("div", { class: "class-head" }, heading, steps), this.showClass(row));
    this.main.replaceChildren(view);
    scrollTo(0, 0);
    heading.focus({ preventScroll: true });
  }

  #key(event) {
    if (isTyping(event) || this.help.open || event.defaultPrevented) return;
    if (event.key === "/") {
      location.hash = "#/";
      this.route(); // not on hashchange, which comes later: the next key already belongs to the search
      this.table.search.select();
    } else if (event.key === "?") this.help.showModal();
    else if (event.key === "Escape" && this.current) location.hash = "#/";
    else if ((event.key === "n" || event.key === "p") && this.current) {
      const target = this.table.neighbour(this.current.label, event.key === "n" ? 1 : -1);
      if (target) location.hash = linkTo(target);
    } else return;
    event.preventDefault();
  }
}

/** Return a class's numbers as a list of terms. */
export function statistics(pairs) {
  const items = pairs.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
  return element("dl", { class: "statistics" }, ...items);
}

/** Return the numbers of a class that both pages show. */
export function classNumbers(row, overview) {
  return columnsOf(overview).filter(({ key }) => !["word", "count"].includes(key)).map(({ key, title, text }) => [title, text(row[key])]);
}

const linkTo = (row) => `#/${encodeURIComponent(row.word)}`;

function wordIn(hash) {
  try {
    return decodeURIComponent(hash.slice(2));
  } catch {
    return ""; // the address ends within an encoded character
  }
}

function places({ axis: [from, to], low, high }) {
  return high === null ? null : [low === null ? 0 : (low - from) / (to - from), (high - from) / (to - from)];
}

/** Return the number of items for each value of some facts, or null without facts. */
function tallyList(tallies) {
  if (!tallies.length) return null;
  const items = tallies.flatMap(({ title, rows }) => [element("dt", {}, title), element("dd", {}, ...rows.map(([value, number]) => element("span", {}, `${value} ${count(number)}`)))]);
  return element("dl", { class: "tallies" }, ...items);
}
