/** Histograms of a score: a small one for a table's cell, and a large one with two percentile lines. */

import { element, score as scoreText, svgElement } from "sketchdata/elements.js";

const KEY_STEP = 0.5;
const KEY_LEAP = 5;

/** Draw a table cell's histogram; `low` and `high` are places on the axis, 0 to 1, or null. */
export function sparkline({ bins, low, high }) {
  const top = Math.max(1, ...bins);
  const paths = { noise: "", normal: "" };
  bins.forEach((number, i) => {
    const middle = (i + 0.5) / bins.length;
    const kind = low !== null && (middle < low || middle > high) ? "noise" : "normal";
    if (number) paths[kind] += bar(i, Math.max(1, (24 * number) / top), 24);
  });
  return svgElement(
    "svg",
    { viewBox: `0 0 ${bins.length} 24`, class: "sparkline", preserveAspectRatio: "none", "aria-hidden": "true" },
    svgElement("path", { class: "normal-bars", d: paths.normal }),
    svgElement("path", { class: "noise-bars", d: paths.noise }),
  );
}

function bar(i, height, floor) {
  return `M${i + 0.06} ${floor}v${-height.toFixed(2)}h.88v${height.toFixed(2)}z`;
}

/**
 * A histogram with two lines, or with the upper one only. Bars and lines are stretched to the element's width, text is
 * not.
 *
 * @param {object} settings name and unit of the score; whether there is a `low` line; `onMove(which, percentile)` makes
 *   the lines handles, for the mouse and the arrow keys; `percentileAt(score)` is needed then.
 */
export class Histogram {
  constructor({ name, unit, low, onMove = null, percentileAt = null }) {
    Object.assign(this, { unit, onMove, percentileAt });
    // With both lines, the axis ends near them.
    this.title = `${name} (${unit})${low ? "; the outermost bars count what lies beyond" : ""}`;
    this.range = [0, 1];
    this.bars = ["noise-bars", "normal-bars"].map((kind) => {
      const path = svgElement("path", { class: kind });
      const svg = svgElement("svg", { preserveAspectRatio: "none", "aria-hidden": "true" }, path);
      return { svg, path };
    });
    this.lines = Object.fromEntries((low ? ["low", "high"] : ["high"]).map((which) => [which, this.#line(which)]));
    this.pin = element("div", { class: "pin", hidden: true });
    this.axis = element("div", { class: "axis", "aria-hidden": "true" });
    this.plot = element("div", { class: "plot" }, ...this.bars.map((b) => b.svg), this.pin, ...Object.values(this.lines));
    this.element = element("div", { class: "histogram" }, this.plot, this.axis);
  }

  /** Show counts per bin over `range`; scores outside are counted in the outermost bins. */
  show({ bins, range }) {
    this.range = range;
    const top = Math.max(1, ...bins);
    const d = bins.map((number, i) => (number ? bar(i, Math.max(0.6, (100 * number) / top), 100) : "")).join("");
    for (const { svg, path } of this.bars) {
      svg.setAttribute("viewBox", `0 0 ${bins.length} 100`);
      path.setAttribute("d", d);
    }
    this.axis.replaceChildren(...ticks(range).map(([value, text]) => this.#tick(value, text)), element("span", {}, this.title));
  }

  /** Place the lines: {low, high}, {percentile, score} each; a null score (a class without reference) hides a line. */
  place(places) {
    for (const [which, line] of Object.entries(this.lines)) {
      const { percentile, score } = places[which];
      line.hidden = score === null;
      if (score === null) continue;
      line.style.left = `${100 * this.#place(score)}%`;
      line.querySelector(".line-label").textContent = `p${tidy(percentile)} · ${scoreText(score)}`;
      // Near the right edge the label would leave the plot.
      line.classList.toggle("label-left", which === "low" ? this.#place(score) > 0.25 : this.#place(score) > 0.75);
      if (this.onMove) {
        line.setAttribute("aria-valuenow", tidy(percentile));
        line.setAttribute("aria-valuetext", `percentile ${tidy(percentile)}, ${scoreText(score)} ${this.unit}`);
      }
    }
    const { low, high } = places;
    const left = low.score === null ? 0 : this.#place(low.score);
    const right = high.score === null ? 1 : this.#place(high.score);
    this.bars[1].svg.style.clipPath = `inset(0 ${100 * (1 - right)}% 0 ${100 * left}%)`;
    this.percentiles = { low: low.percentile, high: high.percentile };
  }

  /** Mark one score on the axis, or none. */
  mark(score) {
    this.pin.hidden = score === null;
    if (score !== null) this.pin.style.left = `${100 * this.#place(score)}%`;
  }

  #place(score) {
    return Math.min(1, Math.max(0, (score - this.range[0]) / (this.range[1] - this.range[0])));
  }

  #tick(value, text) {
    const tick = element("span", { class: "tick" }, text);
    tick.style.left = `${100 * this.#place(value)}%`;
    return tick;
  }

  #line(which) {
    const label = element("span", { class: "line-label" });
    if (!this.onMove) return element("div", { class: `line ${which}` }, label);
    const handle = element(
      "div",
      {
        class: `line handle ${which}`,
        role: "slider",
        tabindex: 0,
        "aria-label": `${which === "low" ? "Lower" : "Upper"} percentile`,
        "aria-valuemin": 0,
        "aria-valuemax": 100,
        onkeydown: (event) => this.#key(which, event),
        onpointerdown: (event) => {
          handle.setPointerCapture(event.pointerId);
          handle.focus();
          event.preventDefault();
        },
        onpointermove: (event) => {
          if (handle.hasPointerCapture(event.pointerId)) this.#drag(which, event.clientX);
        },
      },
      label,
      element("span", { class: "grip" }),
    );
    return handle;
  }

  #drag(which, x) {
    const box = this.plot.getBoundingClientRect();
    const share = (x - box.left) / box.width;
    if (share <= 0) this.onMove(which, 0);
    else if (share >= 1) this.onMove(which, 100);
    else this.onMove(which, this.percentileAt(this.range[0] + share * (this.range[1] - this.range[0])));
  }

  #key(which, event) {
    const steps = { ArrowLeft: -KEY_STEP, ArrowDown: -KEY_STEP, ArrowRight: KEY_STEP, ArrowUp: KEY_STEP, PageDown: -KEY_LEAP, PageUp: KEY_LEAP };
    const ends = { Home: 0, End: 100 };
    if (event.key in steps) this.onMove(which, this.percentiles[which] + steps[event.key]);
    else if (event.key in ends) this.onMove(which, ends[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

const tidy = (percentile) => String(Math.round(percentile * 10) / 10);

/** Return some round numbers inside a range, each with its text. */
function ticks([from, to]) {
  const rough = (to - from) / 8;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let i = Math.ceil(from / step); i * step <= to; i++) found.push([i * step, (i * step).toFixed(digits)]);
  return found;
}
