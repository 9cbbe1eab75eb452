/** The items of one class, as columns by rising score, and the questions that the page asks of them. Nothing is drawn here. */

export const ZONES = [
  ["low", "Low noise"],
  ["border-low", "Lower border"],
  ["normal", "Normal"],
  ["border-high", "Upper border"],
  ["high", "High noise"],
  ["all", "All"],
  ["decided", "Decided"],
];

const BORDER_ITEMS = 480;

export class ClassItems {
  /** @param {ArrayBuffer} buffer N items as `sketchdata.web.items.pack` wrote them: id, score, country, split, recognized. */
  constructor(buffer, { splits, reference }) {
    const n = buffer.byteLength / 20;
    this.id = new BigUint64Array(buffer, 0, n);
    this.score = new Float64Array(buffer, 8 * n, n);
    this.country = new Uint16Array(buffer, 16 * n, n);
    this.split = new Uint8Array(buffer, 18 * n, n);
    this.recognized = new Uint8Array(buffer, 19 * n, n);
    this.reference = this.score.filter((_, i) => splits[this.split[i]] === reference);
    this.filter({});
  }

  /** Keep the positions that fit: split and country are indices, recognized is 0 or 1; undefined fits all. */
  filter({ split, country, recognized }) {
    const fits = (column, wanted, i) => wanted === undefined || column[i] === wanted;
    this.visible = [];
    for (let i = 0; i < this.id.length; i++) {
      if (fits(this.split, split, i) && fits(this.country, country, i) && fits(this.recognized, recognized, i)) this.visible.push(i);
    }
  }

  /** Return a percentile of the reference split, interpolated as `numpy.percentile` does to the last bit; null without one. */
  scoreAt(percentile) {
    const { reference } = this;
    if (!reference.length) return null;
    const place = ((reference.length - 1) * percentile) / 100;
    const before = Math.min(Math.floor(place), reference.length - 1);
    const a = reference[before];
    const b = reference[Math.min(before + 1, reference.length - 1)];
    const t = place - before;
    return t < 0.5 ? a + (b - a) * t : b - (b - a) * (1 - t);
  }

  /** Return the percentile at which a score stands: the inverse of `scoreAt`. */
  percentileAt(score) {
    const { reference } = this;
    const after = firstNotBelow(reference, score, (value) => value);
    if (after === 0) return 0;
    if (after >= reference.length) return 100;
    const [a, b] = [reference[after - 1], reference[after]];
    return (100 * (after - 1 + (score - a) / (b - a))) / (reference.length - 1);
  }

  /** Return the positions of a zone, by rising score; a border begins with those nearest to its line. */
  zone(name, { low, high }, isDecided) {
    const { visible } = this;
    if (name === "all") return visible;
    if (name === "decided") return visible.filter((i) => isDecided(this.id[i]));
    const from = low === null ? 0 : firstNotBelow(visible, low, (i) => this.score[i]);
    const to = high === null ? visible.length : firstNotBelow(visible, high, (i) => this.score[i], true);
    if (name === "low") return visible.slice(0, from);
    if (name === "normal") return visible.slice(from, to);
    if (name === "high") return visible.slice(to);
    return name === "border-low" ? this.#nearest(from, low) : this.#nearest(to, high);
  }

  /** Count the visible items in bars over an axis; those beyond count in the outermost bars. */
  histogram([from, to], bars) {
    const bins = new Array(bars).fill(0);
    for (const i of this.visible) {
      const bar = Math.floor(((this.score[i] - from) / (to - from)) * bars);
      bins[Math.min(bars - 1, Math.max(0, bar))]++;
    }
    return bins;
  }

  #nearest(place, line) {
    if (line === null) return [];
    const around = this.visible.slice(Math.max(0, place - BORDER_ITEMS), place + BORDER_ITEMS);
    const distance = (i) => Math.abs(this.score[i] - line);
    return around.sort((a, b) => distance(a) - distance(b) || a - b).slice(0, BORDER_ITEMS);
  }
}

/** Return the first index whose value is not below a limit (or, with `beyond`, is above it); the values rise. */
function firstNotBelow(list, limit, valueOf, beyond = false) {
  let from = 0;
  let to = list.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    const value = valueOf(list[middle]);
    if (value < limit || (beyond && value === limit)) from = middle + 1;
    else to = middle;
  }
  return from;
}
