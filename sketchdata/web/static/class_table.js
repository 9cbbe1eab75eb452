/** A table of classes that is searched, sorted and walked by keyboard. */

import { count, element, isTyping, percent, score } from "sketchdata/elements.js";
import { sparkline } from "sketchdata/histogram.js";

const numeric = (a, b) => (a === null ? (b === null ? 0 : 1) : b === null ? -1 : a - b);

/** Return the columns of an overview's classes: counts, limits, and the shares of facts. */
export function columnsOf({ low, high, filters }) {
  const shares = filters.filter(({ shares }) => shares).map(({ name, title }) => ({ key: name, title, text: percent, class: "wide" }));
  return [
    { key: "word", title: "Class", compare: (a, b) => a.localeCompare(b, "en") },
    { key: "count", title: "Count", text: count, class: "wide" },
    ...(low === null ? [] : [{ key: "low", title: `p${low}`, text: score, class: "wide" }]),
    { key: "median", title: "Median", text: score },
    { key: "high", title: `p${high}`, text: score, class: "wide" },
    { key: "noise", title: "Noise", text: percent },
    ...shares,
  ];
}

/**
 * @param {object} settings classes: rows with the columns' keys, `label`, `bins` and `places` (of the percentile lines on
 *   the bins' axis, 0 to 1); columns: {key, title, and either text(value) or, of texts, compare(a, b)}.
 */
export class ClassTable {
  constructor({ classes, columns }) {
    this.classes = classes;
    this.columns = columns;
    this.sort = { key: "word", ascending: true };
    this.rows = new Map(classes.map((row) => [row.label, this.#row(row)]));
    this.search = element("input", { type: "search", placeholder: "Search classes", "aria-label": "Search classes", oninput: () => this.refresh(), onkeydown: (event) => this.#leaveSearch(event) });
    this.found = element("span", { class: "found", role: "status" });
    this.head = element("tr", {}, ...this.columns.map((column) => this.#heading(column)), element("th", { scope: "col" }, "Histogram"));
    this.body = element("tbody", { onkeydown: (event) => this.#walk(event) });
    const table = element("table", { class: "classes" }, element("thead", {}, this.head), this.body);
    this.element = element("div", {}, element("div", { class: "search" }, this.search, element("kbd", { "aria-hidden": "true" }, "/"), this.found), table);
    this.refresh();
  }

  /** Return the classes that are shown, in their order, which "next" and "previous" follow. */
  get shown() {
    const wanted = this.search.value.trim().toLowerCase();
    const { key, ascending } = this.sort;
    const compare = this.columns.find((column) => column.key === key).compare ?? numeric;
    const found = this.classes.filter((row) => row.word.toLowerCase().includes(wanted));
    return found.sort((a, b) => (ascending ? 1 : -1) * compare(a[key], b[key]) || a.label - b.label);
  }

  /** Update the rows after a search, a sort or a change of the classes. */
  refresh() {
    const shown = this.shown;
    this.body.replaceChildren(...shown.map((row) => this.rows.get(row.label)));
    this.found.textContent = shown.length === this.classes.length ? `${count(shown.length)} classes` : `${count(shown.length)} of ${count(this.classes.length)} classes`;
    for (const heading of this.head.querySelectorAll("th[data-key]")) {
      const sorted = heading.dataset.key === this.sort.key;
      heading.setAttribute("aria-sort", sorted ? (this.sort.ascending ? "ascending" : "descending") : "none");
    }
  }

  /** Change some cells of one class. */
  update(row) {
    this.rows.get(row.label).replaceWith(this.rows.set(row.label, this.#row(row)).get(row.label));
  }

  /** Return the class before (-1) or after (1) a class, in the order shown. */
  neighbour(label, step) {
    const shown = this.shown;
    return shown[shown.findIndex((row) => row.label === label) + step] ?? null;
  }

  /** Put the keyboard's focus on a class's row. */
  focus(label) {
    this.rows.get(label)?.querySelector("a").focus();
  }

  #heading(column) {
    const button = element("button", { type: "button", onclick: () => this.#sortBy(column.key) }, column.title);
    return element("th", { scope: "col", "data-key": column.key, class: column.class }, button);
  }

  #row(row) {
    const link = element("a", { href: `#/${encodeURIComponent(row.word)}` }, row.word);
    const cells = this.columns.slice(1).map((column) => element("td", { class: column.class, "data-key": column.key }, column.text(row[column.key])));
    const [low, high] = row.places ?? [null, null];
    return element("tr", { onclick: (event) => event.target.closest("a") ?? link.click() }, element("th", { scope: "row" }, link), ...cells, element("td", { class: "chart" }, sparkline({ bins: row.bins, low, high })));
  }

  #sortBy(key) {
    // The largest numbers come first; a second press reverses the order.
    this.sort = { key, ascending: this.sort.key === key ? !this.sort.ascending : key === "word" };
    this.refresh();
  }

  #leaveSearch(event) {
    if (event.key === "Escape" && this.search.value) {
      this.search.value = "";
      this.refresh();
    } else if (event.key === "Escape") this.search.blur();
    else if (event.key === "ArrowDown") this.body.querySelector("a")?.focus();
    else if (event.key === "Enter") this.body.querySelector("a")?.click();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #walk(event) {
    if (isTyping(event)) return;
    const row = event.target.closest("tr");
    const targets = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling ?? this.search, Home: this.body.firstElementChild, End: this.body.lastElementChild };
    if (!(event.key in targets)) return;
    const target = targets[event.key];
    (target?.querySelector("a") ?? target)?.focus();
    event.preventDefault();
  }
}
