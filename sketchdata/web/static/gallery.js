/** A grid of pictures that are selected by mouse and keyboard: a list box of several choices, in WAI-ARIA's words. */

import { element } from "sketchdata/elements.js";

/**
 * @param {object} settings kind of the pictures, label of the list; `describe(item)` returns {name, caption, verdict, word, noise} of an item;
 *   `onSelect()` is called when the selection has changed; `onPage(step)` when the keyboard asks for another page.
 */
export class Gallery {
  constructor({ kind, label, describe, onSelect, onPage }) {
    Object.assign(this, { describe, onSelect, onPage });
    this.selected = new Set();
    this.items = [];
    this.active = 0;
    this.element = element("div", {
      class: `gallery ${kind}`,
      role: "listbox",
      "aria-label": label,
      "aria-multiselectable": "true",
      onclick: (event) => this.#click(event),
      onkeydown: (event) => this.#key(event),
    });
  }

  /** Show a page of items; the selection stays, also of items on other pages. */
  show(items, empty) {
    const hadFocus = this.element.contains(document.activeElement);
    this.items = items;
    this.active = Math.min(this.active, Math.max(0, items.length - 1));
    this.cells = items.map((item, place) => this.#cell(item, place));
    this.element.replaceChildren(...(items.length ? this.cells : [element("div", { class: "empty", role: "option", "aria-disabled": "true", "aria-selected": "false" }, empty)]));
    if (hadFocus) this.focus();
  }

  /** Show a picture in the cell of an item, if the item is on the page. */
  put(item, picture) {
    this.cells[this.items.indexOf(item)]?.querySelector(".picture").replaceWith(picture);
  }

  /** Update the cells' marks after a decision or a change of the selection. */
  refresh() {
    this.items.forEach((item, place) => this.#mark(this.cells[place], item));
  }

  /** Select exactly these items. */
  select(items) {
    this.selected = new Set(items);
    this.refresh();
    this.onSelect();
  }

  /** Put the keyboard's focus on the active cell. */
  focus() {
    this.cells[this.active]?.focus();
  }

  /** Return what a command applies to: the selection, or else the item that has the focus. */
  get targets() {
    if (this.selected.size) return [...this.selected];
    return this.element.contains(document.activeElement) && this.items.length ? [this.items[this.active]] : [];
  }

  /** Move on to the next cell, if there is one. */
  advance() {
    this.#move(Math.min(this.active + 1, this.items.length - 1));
  }

  #cell(item, place) {
    const cell = element("div", { class: "item", role: "option", tabindex: place === this.active ? 0 : -1 }, element("div", { class: "picture" }), element("span", { class: "caption" }), element("span", { class: "badge" }));
    this.#mark(cell, item);
    return cell;
  }

  #mark(cell, item) {
    const { name, caption, verdict, word, noise } = this.describe(item);
    const badge = cell.querySelector(".badge");
    cell.setAttribute("aria-label", name);
    cell.setAttribute("aria-selected", String(this.selected.has(item)));
    cell.classList.toggle("noise", noise);
    cell.dataset.verdict = verdict ?? "";
    cell.querySelector(".caption").textContent = caption;
    badge.textContent = word ?? verdict ?? "";
    badge.hidden = !verdict;
  }

  #click(event) {
    const place = this.cells?.indexOf(event.target.closest(".item")) ?? -1;
    if (place < 0) return;
    if (event.shiftKey) this.#extend(place);
    else {
      this.#toggle(place);
      this.anchor = place;
    }
    this.#move(place);
  }

  #toggle(place) {
    const item = this.items[place];
    if (!this.selected.delete(item)) this.selected.add(item);
    this.refresh();
    this.onSelect();
  }

  #extend(place) {
    const [from, to] = [this.anchor ?? this.active, place].sort((a, b) => a - b);
    this.select([...this.selected, ...this.items.slice(from, to + 1)]);
  }

  #move(place) {
    if (!this.items.length) return;
    this.cells[this.active]?.setAttribute("tabindex", -1);
    this.active = place;
    this.cells[place].setAttribute("tabindex", 0);
    this.cells[place].focus();
  }

  #key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.#columns(), ArrowDown: this.#columns() };
    if (event.ctrlKey || event.metaKey || event.altKey || !this.items.length) return;
    if (event.key in steps) this.#step(steps[event.key], event.shiftKey);
    else if (event.key === "Home") this.#move(0);
    else if (event.key === "End") this.#move(this.items.length - 1);
    else if (event.key === "PageDown") this.onPage(1);
    else if (event.key === "PageUp") this.onPage(-1);
    else if (event.key === " " || event.key === "Enter") {
      this.#toggle(this.active);
      this.anchor = this.active;
    } else return;
    event.preventDefault();
  }

  #step(by, extending) {
    const place = this.active + by;
    if (place < 0 || place >= this.items.length) return;
    if (extending) {
      this.anchor ??= this.active;
      this.#extend(place);
    } else this.anchor = place;
    this.#move(place);
  }

  #columns() {
    const top = this.cells[0]?.offsetTop;
    const inRow = this.cells.findIndex((cell) => cell.offsetTop !== top);
    return inRow < 0 ? this.cells.length : inRow;
  }
}
