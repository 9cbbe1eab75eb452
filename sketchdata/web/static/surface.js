/** A square to draw on with a mouse, a finger, a pen or the arrow keys; it does not depend on what the strokes are used for. */

import { element } from "sketchdata/elements.js";

/** Side of the square in the units of strokes, which are {x: [], y: []}. */
export const SIDE = 512;
const WIDTH = 7;
const REACH = 14;
const STEP = 16;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Emits "change" (detail: whether a line is being drawn) when strokes change, and "refused" when a limit is reached. */
export class Surface extends EventTarget {
  constructor({ mostStrokes, mostPoints }) {
    super();
    this.limits = { mostStrokes, mostPoints };
    this.strokes = [];
    this.past = [];
    this.tool = "pen";
    this.line = null; // the stroke that is being drawn
    this.cursor = null; // the place that the arrow keys move
    this.canvas = element("canvas", { class: "surface", tabindex: 0, role: "application", "aria-label": "Drawing area. The arrow keys move the pen, Space sets it down and lifts it." });
    this.canvas.addEventListener("pointerdown", (event) => this.#down(event));
    this.canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, (event) => event.isPrimary && this.#up());
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener("blur", () => this.#up((this.cursor = null)));
    new ResizeObserver(() => this.#paintSoon()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#paintSoon());
  }

  get points() {
    return this.strokes.reduce((sum, { x }) => sum + x.length, 0);
  }

  /** Replace the strokes; this can be undone. */
  replace(strokes) {
    if (!strokes.length && !this.strokes.length) return;
    this.past.push(this.strokes);
    this.#set(strokes);
  }

  undo() {
    if (this.line) this.#up();
    if (this.past.length) this.#set(this.past.pop());
  }

  #set(strokes) {
    this.strokes = strokes;
    this.#changed();
  }

  #changed() {
    this.#paintSoon();
    this.dispatchEvent(new CustomEvent("change", { detail: { drawing: this.line !== null } }));
  }

  #down(event) {
    if (!event.isPrimary || (event.pointerType === "mouse" && event.button !== 0)) return;
    event.preventDefault();
    this.cursor = null;
    this.canvas.setPointerCapture(event.pointerId);
    const [x, y] = this.#place(event);
    // Button 5 is the eraser end of a pen.
    this.erasing = this.tool === "eraser" || event.button === 5;
    if (this.erasing) {
      this.before = this.strokes;
      this.last = [x, y];
      this.#erase(x, y);
    } else this.#begin(x, y);
  }

  #move(event) {
    if (!event.isPrimary || !(this.line || this.before)) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) {
      const [x, y] = this.#place(each);
      if (this.before) this.#eraseTo(x, y);
      else this.#extend(x, y);
    }
  }

  #up() {
    if (this.before && this.before !== this.strokes) this.past.push(this.before);
    this.before = null;
    if (!this.line) return;
    this.line = null;
    this.#changed();
  }

  #begin(x, y) {
    if (this.strokes.length >= this.limits.mostStrokes) return this.#refuse(`A drawing has ${this.limits.mostStrokes.toLocaleString("en-US")} lines at most: erase some of them.`);
    this.line = { x: [x], y: [y] };
    this.past.push(this.strokes);
    this.#set([...this.strokes, this.line]);
  }

  #extend(x, y) {
    const { line } = this;
    if (!line || Math.hypot(x - line.x.at(-1), y - line.y.at(-1)) < 1) return;
    if (this.points >= this.limits.mostPoints) {
      this.#up();
      return this.#refuse("The drawing has as many points as can be searched for: erase some lines.");
    }
    line.x.push(x);
    line.y.push(y);
    this.#changed();
  }

  /** Remove the lines near a place. */
  #erase(x, y) {
    const left = this.strokes.filter((stroke) => distance(stroke, x, y) > REACH);
    if (left.length < this.strokes.length) this.#set(left);
  }

  /** Remove the lines between the last place and this one: fast movements report few places. */
  #eraseTo(x, y) {
    const [fromX, fromY] = this.last;
    const steps = Math.ceil(Math.hypot(x - fromX, y - fromY) / REACH);
    for (let i = 1; i <= steps; i++) this.#erase(fromX + ((x - fromX) * i) / steps, fromY + ((y - fromY) * i) / steps);
    this.last = [x, y];
  }

  #refuse(text) {
    this.dispatchEvent(new CustomEvent("refused", { detail: text }));
  }

  #key(event) {
    const step = ARROWS[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || !(step || event.key === " ")) return;
    event.preventDefault();
    this.cursor ??= [SIDE / 2, SIDE / 2];
    if (step) {
      const length = event.shiftKey ? STEP / 4 : STEP;
      this.cursor = this.cursor.map((at, axis) => Math.min(SIDE, Math.max(0, at + length * step[axis])));
      if (this.line) this.#extend(...this.cursor);
    } else if (this.line) this.#up();
    else if (this.tool === "eraser") {
      this.before = this.strokes;
      this.#erase(...this.cursor);
      this.#up();
    } else this.#begin(...this.cursor);
    this.#paintSoon();
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top].map((at, axis) => {
      const part = (at * SIDE) / (axis ? box.height : box.width);
      return Math.round(10 * Math.min(SIDE, Math.max(0, part))) / 10;
    });
  }

  #paintSoon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.#paint();
    });
  }

  #paint() {
    const { canvas } = this;
    const side = Math.round(canvas.clientWidth * devicePixelRatio);
    if (canvas.width !== side || canvas.height !== side) canvas.width = canvas.height = side;
    const pen = canvas.getContext("2d");
    pen.setTransform(side / SIDE, 0, 0, side / SIDE, 0, 0);
    pen.clearRect(0, 0, SIDE, SIDE);
    Object.assign(pen, { lineWidth: WIDTH, lineCap: "round", lineJoin: "round", strokeStyle: getComputedStyle(canvas).color });
    pen.beginPath();
    for (const { x, y } of this.strokes) {
      pen.moveTo(x[0], y[0]);
      if (x.length === 1) pen.lineTo(x[0] + 0.01, y[0]); // a dot, which the round cap makes visible
      for (let i = 1; i < x.length; i++) pen.lineTo(x[i], y[i]);
    }
    pen.stroke();
    if (!this.cursor) return;
    const [x, y] = this.cursor;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(x, y, this.line ? WIDTH : 1.7 * WIDTH, 0, 2 * Math.PI);
    pen.stroke();
  }
}

/** Return the distance of a place from a line. */
function distance({ x, y }, px, py) {
  let best = Math.hypot(px - x[0], py - y[0]);
  for (let i = 1; i < x.length; i++) {
    const [dx, dy] = [x[i] - x[i - 1], y[i] - y[i - 1]];
    const along = Math.min(1, Math.max(0, ((px - x[i - 1]) * dx + (py - y[i - 1]) * dy) / (dx * dx + dy * dy || 1)));
    best = Math.min(best, Math.hypot(px - x[i - 1] - along * dx, py - y[i - 1] - along * dy));
  }
  return best;
}

/** Return strokes, given as [[all x, all y], …] in any unit, scaled and centred in the square. */
export function fitted(strokes) {
  const [left, right] = bounds(strokes.flatMap(([x]) => x));
  const [top, bottom] = bounds(strokes.flatMap(([, y]) => y));
  const scale = (0.8 * SIDE) / Math.max(right - left, bottom - top, 1);
  const move = (low, high) => (at) => Math.round(10 * (SIDE / 2 + (at - (low + high) / 2) * scale)) / 10;
  return strokes.map(([x, y]) => ({ x: x.map(move(left, right)), y: y.map(move(top, bottom)) }));
}

function bounds(values) {
  return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}
