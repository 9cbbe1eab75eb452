/** The items of one class, as columns by ascending score, with filters, percentiles and zones. Nothing is drawn here. */

const BORDER_ITEMS = 480;

export class ClassItems {
  /** @param {ArrayBuffer} buffer N items as `sketchdata.web.items.pack` wrote them: id, score, the facts, reference, certain. */
  constructor(buffer, { filters }) {
    const facts = filters.length;
    const n = buffer.byteLength / (18 + 2 * facts);
    this.id = new BigUint64Array(buffer, 0, n);
    this.score = new Float64Array(buffer, 8 * n, n);
    this.facts = Object.fromEntries(filters.map(({ name }, place) => [name, new Uint16Array(buffer, (16 + 2 * place) * n, n)]));
    const counts = new Uint8Array(buffer, (16 + 2 * facts) * n, n);
    this.certain = new Uint8Array(buffer, (17 + 2 * facts) * n, n);
    this.reference = this.score.filter((_, i) => counts[i]);
    this.filter({});
  }

  /** Keep the items with these values: {fact: index of its value}, undefined for any value. */
  filter(wanted) {
    const conditions = Object.entries(wanted).filter(([, value]) => value !== undefined);
    this.visible = [];
    for (let i = 0; i < this.id.length; i++) {
      if (conditions.every(([name, value]) => this.facts[name][i] === value)) this.visible.push(i);
    }
  }

  /** Return whether an item is noise with these lines, or with any. */
  isNoise(i, { low, high }) {
    return Boolean(this.certain[i]) || (low !== null && this.score[i] < low) || (high !== null && this.score[i] > high);
  }

  /** Return a percentile of the reference, interpolated as `numpy.percentile` does to the last bit; null without one. */
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

  /** Return the percentile of a score: the inverse of `scoreAt`. */
  percentileAt(score) {
    const { reference } = this;
    const after = firstNotBelow(reference, score, (value) => value);
    if (after === 0) return 0;
    if (after >= reference.length) return 100;
    const [a, b] = [reference[after - 1], reference[after]];
    return (100 * (after - 1 + (score - a) / (b - a))) / (reference.length - 1);
  }

  /** Return the positions of a zone by ascending score; those of a border by distance from its line. */
  zone(name, { low, high }, isDecided) {
    const { visible } = this;
    if (name === "all") return visible;
    if (name === "decided") return visible.filter((i) => isDecided(this.id[i]));
    const from = low === null ? 0 : firstNotBelow(visible, low, (i) => this.score[i]);
    const above = high === null ? visible.length : firstNotBelow(visible, high, (i) => this.score[i], true);
    const certain = visible.findIndex((i) => this.certain[i]);
    const to = certain < 0 ? above : Math.min(above, certain); // certain noise has the highest scores
    if (name === "low") return visible.slice(0, from);
    if (name === "normal") return visible.slice(from, to);
    if (name === "high") return visible.slice(to);
    return name === "border-low" ? this.#nearest(from, low) : this.#nearest(to, high);
  }

  /** Count the visible items in bars over an axis; items outside count in the outermost bars. */
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

/** Return the first index whose value is not below a limit (with `beyond`, above it); values ascend. */
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
