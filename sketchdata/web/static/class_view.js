/** One class on the curation page: histogram with two handles, filters, zones, and the gallery for decisions. */

import { answer } from "sketchdata/decisions.js";
import { capital, count, element, isTyping, percent, score } from "sketchdata/elements.js";
import { Gallery } from "sketchdata/gallery.js";
import { Histogram } from "sketchdata/histogram.js";
import { ClassItems } from "sketchdata/items.js";
import { drawPicture } from "sketchdata/pictures.js";
import { statistics } from "sketchdata/shell.js";

const PAGE_ITEMS = 48;
const LOAD_ITEMS = 12;
const LOAD_AFTER_MILLISECONDS = 60;

/** Return the first settings of a curator; they are kept from class to class. */
export function initialSettings({ low, high }) {
  return { low, high, zone: low === null ? "high" : "low", filters: {} };
}

export class ClassView {
  constructor({ row, overview, decisions, settings }) {
    Object.assign(this, { row, overview, decisions, settings });
    this.page = 0;
    this.positions = [];
    this.shown = [];
    this.pictures = new Map();
    this.histogram = new Histogram({ ...overview.score, low: overview.low !== null, onMove: (which, percentile) => this.moveLine(which, percentile), percentileAt: (value) => this.items?.percentileAt(value) ?? 0 });
    [this.noun, this.nouns] = overview.nouns;
    this.gallery = new Gallery({ kind: overview.kind, label: `${capital(this.nouns)} of ${row.word}`, describe: (i) => this.#describe(i), onSelect: () => this.#showSelection(), onPage: (step) => this.turn(step) });
    this.numbers = element("div", {});
    this.zones = new Map(overview.zones.map(([zone, title]) => [zone, this.#zoneButton(zone, title)]));
    this.status = element("div", { class: "status", role: "status" });
    this.pageText = element("span", { class: "page-text" });
    this.previous = element("button", { type: "button", class: "button", onclick: () => this.turn(-1) }, "← Page");
    this.next = element("button", { type: "button", class: "button", onclick: () => this.turn(1) }, "Page →");
    this.element = element(
      "div",
      { class: "curation" },
      this.numbers,
      this.histogram.element,
      this.#filterBar(),
      element("div", { class: "zones", role: "group", "aria-label": "Part of the class" }, ...this.zones.values()),
      this.#actionBar(),
      this.gallery.element,
      element("div", { class: "bar" }, this.previous, this.pageText, this.next),
    );
    this.#load();
  }

  /** Move one of the lines to a percentile; the lines do not pass each other. */
  moveLine(which, percentile) {
    if (!this.items) return;
    const limits = which === "low" ? [0, this.settings.high] : [this.settings.low ?? 0, 100];
    this.settings[which] = Math.min(limits[1], Math.max(limits[0], Math.round(percentile * 10) / 10));
    this.page = 0;
    this.render();
  }

  /** Turn the pages of the zone. */
  turn(step) {
    const page = this.page + step;
    if (page < 0 || page * PAGE_ITEMS >= this.positions.length) return;
    this.page = page;
    this.gallery.active = 0;
    this.#showPage();
  }

  /** Save a verdict on the selection, or on the focused item. */
  async decide(verdict) {
    const targets = this.gallery.targets.filter((i) => verdict !== "undo" || this.decisions.of(this.items.id[i]));
    if (!targets.length) return this.say(verdict === "undo" ? "Nothing here is decided." : `Select ${this.nouns} first.`);
    const single = !this.gallery.selected.size;
    const words = new Map();
    for (const i of targets) {
      const word = verdict === "relabel" ? this.newClass.value.trim() || this.#looksLike(i) : null;
      if (word === undefined) return this.say("Give the new class first.");
      words.set(word, [...(words.get(word) ?? []), String(this.items.id[i])]);
    }
    try {
      const reason = this.reason.value.trim() || this.#zoneReason();
      for (const [word, ids] of words) await this.decisions.save(ids, verdict, reason, word);
    } catch (error) {
      return this.say(`Not saved: ${error.message}`, true);
    }
    this.gallery.select([]);
    if (single) this.gallery.advance();
    return this.say(`${{ keep: "Kept", drop: "Dropped", relabel: "Relabelled", undo: "Taken back:" }[verdict]} ${count(targets.length)} ${targets.length === 1 ? this.noun : this.nouns}, saved.`);
  }

  /** Handle a key; return whether this view uses it. */
  key(event) {
    if (isTyping(event)) return false;
    const verdicts = { k: "keep", d: "drop", u: "undo", ...(this.overview.words.length ? { r: "relabel" } : {}) };
    if (event.key in verdicts) this.decide(verdicts[event.key]);
    else if (event.key === "a") this.#selectPage();
    else if (event.key === "A") this.gallery.select(this.positions);
    else if (event.key === "Escape" && this.gallery.selected.size) this.gallery.select([]);
    else if (event.key === "]") this.turn(1);
    else if (event.key === "[") this.turn(-1);
    else return false;
    return true;
  }

  /** Show the current decisions. */
  refresh() {
    if (!this.items) return;
    this.#showCounts();
    this.gallery.refresh();
  }

  /** Show a message under the buttons. */
  say(text, failed = false) {
    this.status.textContent = text;
    this.status.classList.toggle("failed", failed);
  }

  /** Show lines, counts and gallery for the settings as they are. */
  render() {
    if (!this.items) return; // #load renders again, with the settings made meanwhile
    const { low, high, zone } = this.settings;
    this.lines = { low: low === null ? null : this.items.scoreAt(low), high: this.items.scoreAt(high) };
    this.histogram.place({ low: { percentile: low ?? 0, score: this.lines.low }, high: { percentile: high, score: this.lines.high } });
    this.positions = this.#zone(zone);
    for (const [name, button] of this.zones) button.setAttribute("aria-pressed", String(name === zone));
    this.#showCounts();
    this.#showPage();
  }

  async #load() {
    this.say("Loading …");
    try {
      const response = await fetch(`api/classes/${this.row.label}/items`);
      if (!response.ok) await answer(response);
      this.items = new ClassItems(await response.arrayBuffer(), this.overview);
    } catch (error) {
      this.say(`The ${this.nouns} cannot be loaded: ${error.message}`, true);
      return;
    }
    this.say("");
    this.#filter();
  }

  #filter() {
    if (!this.items) return;
    this.items.filter(this.settings.filters);
    this.histogram.show({ bins: this.items.histogram(this.row.axis, this.row.bins.length), range: this.row.axis });
    this.gallery.select([]);
    this.page = 0;
    this.render();
  }

  #zone(name) {
    return this.items.zone(name, this.lines, (id) => this.decisions.of(id));
  }

  #showCounts() {
    const sizes = Object.fromEntries(this.overview.zones.map(([zone]) => [zone, this.#zone(zone).length]));
    for (const [zone, button] of this.zones) button.querySelector(".number").textContent = count(sizes[zone]);
    const noise = (sizes.low ?? 0) + sizes.high;
    const verdicts = this.items.visible.map((i) => this.decisions.of(this.items.id[i])?.verdict);
    const counted = (verdict) => count(verdicts.filter((each) => each === verdict).length);
    const shown = sizes.all;
    const pairs = [[capital(this.nouns), count(shown)], ["Noise", `${count(noise)} · ${percent(shown ? noise / shown : null)}`], ["Normal", count(sizes.normal)], ["Kept", counted("keep")], ["Dropped", counted("drop")]];
    this.numbers.replaceChildren(statistics(pairs));
  }

  #showPage() {
    const start = this.page * PAGE_ITEMS;
    const shown = this.positions.slice(start, start + PAGE_ITEMS);
    const last = Math.max(1, Math.ceil(this.positions.length / PAGE_ITEMS));
    // A border is sorted by distance from its line; a page is easier to read in the order of the axis.
    this.shown = shown.sort((a, b) => a - b);
    this.pageText.textContent = `Page ${count(this.page + 1)} of ${count(last)}`;
    this.previous.disabled = this.page === 0;
    this.next.disabled = this.page + 1 >= last;
    this.gallery.show(this.shown, `No ${this.nouns} here.`);
    this.#showPictures();
    this.#showSelection();
  }

  /** Show the pictures that are loaded, and load the others when the handles stop moving. */
  #showPictures() {
    clearTimeout(this.loading);
    const missing = this.shown.filter((i) => !this.pictures.has(i));
    for (const i of this.shown) if (this.pictures.has(i)) this.gallery.put(i, drawPicture(this.pictures.get(i)));
    this.loading = setTimeout(() => {
      // Parallel requests: the first pictures appear early, and the server uses several cores.
      for (let at = 0; at < missing.length; at += LOAD_ITEMS) this.#loadPictures(missing.slice(at, at + LOAD_ITEMS));
    }, LOAD_AFTER_MILLISECONDS);
  }

  async #loadPictures(positions) {
    try {
      const found = await answer(await fetch(`api/classes/${this.row.label}/pictures?positions=${positions.join(",")}`));
      found.forEach((picture, place) => {
        this.pictures.set(positions[place], picture);
        this.gallery.put(positions[place], drawPicture(picture));
      });
    } catch (error) {
      this.say(`Some pictures cannot be loaded: ${error.message}`, true);
    }
  }

  #describe(i) {
    const { items, lines } = this;
    const { verdict, word } = this.decisions.of(items.id[i]) ?? {};
    const looks = this.#looksLike(i);
    const noise = items.isNoise(i, lines);
    const facts = this.overview.filters.map(({ name, words }) => words?.[items.facts[name][i]]);
    const words = [`key_id ${items.id[i]}`, `${this.overview.score.word} ${score(items.score[i])}`, noise ? "noise" : "normal", ...facts, word ? `relabelled ${word}` : verdict];
    return { name: words.filter(Boolean).join(", "), caption: looks ? `looks like ${looks}` : score(items.score[i]), verdict, word, noise };
  }

  /** Return the class that the audit of labels suggests for an item, or undefined. */
  #looksLike(i) {
    const fact = this.overview.filters.find(({ name }) => name === "looks");
    const value = fact ? this.items.facts.looks[i] : 0;
    return value ? fact.values[value] : undefined;
  }

  #selectPage() {
    this.gallery.select([...this.gallery.selected, ...this.shown]);
  }

  #showSelection() {
    const chosen = this.gallery.selected.size;
    this.selectionText.textContent = chosen ? `${count(chosen)} selected` : "None selected";
    this.selectAll.textContent = `Select all ${count(this.positions.length)}`;
  }

  #zoneReason() {
    const { zone, low, high } = this.settings;
    const { word } = this.overview.score;
    const reasons = { low: `${word} below p${low}`, high: `${word} above p${high}` };
    return reasons[zone] ?? "";
  }

  #zoneButton(zone, title) {
    const choose = () => {
      this.settings.zone = zone;
      this.page = 0;
      this.gallery.select([]);
      this.render();
    };
    return element("button", { type: "button", class: "button", "aria-pressed": "false", "data-zone": zone, onclick: choose }, title, element("span", { class: "number" }));
  }

  #filterBar() {
    const { low, high, filters } = this.overview;
    const lines = low === null ? `Line to p${high}` : `Lines to p${low} and p${high}`;
    return element(
      "div",
      { class: "bar", role: "group", "aria-label": "Filters" },
      ...filters.map((filter) => this.#filterList(filter)),
      element("button", { type: "button", class: "button", onclick: () => this.#resetLines() }, lines),
    );
  }

  #filterList({ name, title, values }) {
    const chosen = this.settings.filters[name];
    const options = values.map((text, value) => element("option", { value, selected: value === chosen }, text));
    const change = (event) => {
      this.settings.filters[name] = event.target.value === "" ? undefined : Number(event.target.value);
      this.#filter();
    };
    return element("label", {}, title, element("select", { name, onchange: change }, element("option", { value: "" }, "all"), ...options));
  }

  #resetLines() {
    Object.assign(this.settings, { low: this.overview.low, high: this.overview.high });
    this.page = 0;
    this.render();
  }

  #actionBar() {
    const action = (verdict, text, key) => element("button", { type: "button", class: `button ${verdict}`, "aria-keyshortcuts": key, onclick: () => this.decide(verdict) }, text, element("kbd", { "aria-hidden": "true" }, key));
    this.selectionText = element("span", { class: "found", role: "status" });
    this.selectAll = element("button", { type: "button", class: "button", "aria-keyshortcuts": "Shift+A", onclick: () => this.gallery.select(this.positions) });
    this.reason = element("input", { type: "text", maxlength: 500, placeholder: "Reason, if there is one", "aria-label": "Reason" });
    this.newClass = element("input", { type: "text", list: "classes", placeholder: "New class: as suggested", "aria-label": "New class" });
    const relabel = this.overview.words.length
      ? [action("relabel", "Relabel", "r"), this.newClass, element("datalist", { id: "classes" }, ...this.overview.words.map((word) => element("option", { value: word })))]
      : [];
    return element(
      "div",
      { class: "bar actions", role: "toolbar", "aria-label": "Decide" },
      action("drop", "Drop", "d"),
      action("keep", "Keep", "k"),
      ...relabel,
      action("undo", "Undo", "u"),
      this.reason,
      element("button", { type: "button", class: "button", "aria-keyshortcuts": "a", onclick: () => this.#selectPage() }, "Select page"),
      this.selectAll,
      element("button", { type: "button", class: "button", onclick: () => this.gallery.select([]) }, "Clear"),
      this.selectionText,
      this.status,
    );
  }
}
