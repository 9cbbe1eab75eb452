/** The draw-to-search page: a square to draw on, and the nearest items of an index while the user draws. */

import { Asker, post } from "sketchdata/asker.js";
import { element, isTyping, keyDialog, provenance } from "sketchdata/elements.js";
import { creditLine, drawPicture } from "sketchdata/pictures.js";
import { fitted, Surface } from "sketchdata/surface.js";

/** Milliseconds between requests while a line is drawn. */
const PAUSE = 60;
/** Pictures of fewer bytes are sent unchanged, larger ones with sides of at most this many pixels. */
const MOST_BYTES = 1_300_000;
const LONGEST_SIDE = 1024;
const KEYS = [["p", "Pen"], ["e", "Eraser"], ["u, Ctrl Z", "Undo"], ["c", "Clear"], ["o", "Open a picture or an SVG"], ["↑ ↓ ← →", "On the drawing area: move the pen, with Shift by less"], ["Space", "On the drawing area: set the pen down, lift it"], ["?", "This help"]];

class DrawPage {
  constructor(about) {
    this.about = about;
    this.surface = new Surface({ mostStrokes: about.most_strokes, mostPoints: about.most_points });
    this.asker = new Asker({ address: "api/search", show: (found) => this.#show(found), fail: (error) => this.#say(`Nothing was found: ${error.message}`, true) });
    this.status = element("p", { class: "status", role: "status" });
    this.votes = element("p", { class: "votes", role: "status" });
    this.results = element("ol", { class: "results found-items", "aria-label": `Nearest ${about.nouns}` });
    this.empty = element("p", { class: "empty" }, `Draw something: the ${about.nouns} that are nearest to it appear here.`);
    this.file = element("input", { type: "file", accept: ".svg,image/*", hidden: true, onchange: () => this.#open(this.file.files) });
    const tool = (name, text, key) => element("button", { type: "button", class: "button", "data-tool": name, "aria-pressed": String(name === "pen"), "aria-keyshortcuts": key, onclick: () => this.take(name) }, text);
    this.tools = [tool("pen", "Pen", "p"), tool("eraser", "Eraser", "e")];
    const act = (text, key, onclick) => element("button", { type: "button", class: "button", "aria-keyshortcuts": key, onclick }, text);
    const undo = act("Undo", "u", () => this.surface.undo());
    const clear = act("Clear", "c", () => this.surface.replace([]));
    const open = act("Open …", "o", () => this.file.click());
    this.actions = { u: undo, c: clear, o: open };
    const bar = element("div", { class: "bar", role: "toolbar", "aria-label": "Drawing" }, ...this.tools, undo, clear, open, this.file);
    this.help = keyDialog(KEYS);
    document.querySelector("#help").addEventListener("click", () => this.help.showModal());
    document.querySelector("footer").append(...provenance(about.facts));
    document.body.append(this.help);
    const paper = element("section", { class: "paper", "aria-label": "Your drawing" }, this.surface.canvas, bar, this.status);
    const found = element("section", { class: "answers", "aria-label": "Results" }, this.votes, this.empty, this.results);
    document.querySelector("main").replaceChildren(element("h1", { class: "unseen" }, about.title), element("div", { class: "draw" }, paper, found));
    this.#listen(undo, clear);
  }

  /** Choose the pen or the eraser. */
  take(name) {
    this.surface.tool = name;
    this.surface.canvas.dataset.tool = name;
    for (const button of this.tools) button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  }

  #listen(undo, clear) {
    const refresh = () => {
      undo.disabled = !this.surface.past.length;
      clear.disabled = !this.surface.strokes.length;
    };
    refresh();
    this.surface.addEventListener("change", () => {
      refresh();
      this.#say("");
      this.#askSoon();
    });
    this.surface.addEventListener("refused", ({ detail }) => this.#say(detail, true));
    addEventListener("keydown", (event) => this.#key(event));
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      this.#open(event.dataTransfer.files);
    });
    addEventListener("paste", (event) => event.clipboardData.files.length && this.#open(event.clipboardData.files));
  }

  #key(event) {
    if (event.key === "z" && (event.ctrlKey || event.metaKey) && !this.help.open) this.surface.undo();
    else if (isTyping(event) || this.help.open || event.defaultPrevented) return;
    else if (event.key === "p") this.take("pen");
    else if (event.key === "e") this.take("eraser");
    else if (event.key === "?") this.help.showModal();
    else if (event.key in this.actions) this.actions[event.key].click();
    else return;
    event.preventDefault();
  }

  #askSoon() {
    if (!this.surface.strokes.length) {
      clearTimeout(this.timer);
      this.timer = null;
      this.asker.drop();
      this.#show(null);
    } else
      this.timer ??= setTimeout(() => {
        this.timer = null;
        this.asker.ask({ strokes: this.surface.strokes.map(({ x, y }) => [x, y]) });
      }, PAUSE);
  }

  /** Read a file that was chosen, dropped or pasted, and show its drawing. */
  async #open([file]) {
    this.file.value = "";
    if (!file) return;
    this.#say(`Reading ${file.name} …`);
    try {
      const isSvg = file.type === "image/svg+xml" || file.name.toLowerCase().endsWith(".svg");
      const { strokes } = await post("api/read", isSvg ? { svg: await file.text() } : { picture: await encoded(file) });
      this.surface.replace(fitted(strokes));
    } catch (error) {
      this.#say(`${file.name}: ${error.message}`, true);
    }
  }

  #show(found) {
    this.empty.hidden = found !== null;
    this.votes.replaceChildren(...(found ? votes(found) : []));
    this.results.replaceChildren(...(found ? found.results.map((result) => this.#item(result)) : []));
    this.results.dataset.milliseconds = found ? found.milliseconds : "";
  }

  /** Return an element for a result; an existing one is used again, so that its picture is not loaded twice. */
  #item(result) {
    const old = this.results.querySelector(`:scope > [data-id="${result.id}"]`);
    const picture = old?.querySelector(".picture") ?? drawPicture(result);
    picture.onerror = () => (picture.alt = "This photo cannot be read");
    return item(result, picture);
  }

  #say(text, failed = false) {
    this.status.textContent = text;
    this.status.classList.toggle("failed", failed);
  }
}

function votes({ votes: [[word, share], ...others] }) {
  if (!word) return [];
  const percent = (part) => `${Math.round(100 * part)} %`;
  const rest = others.map(([other, part]) => `${other} ${percent(part)}`).join(", ");
  return ["Looks like ", element("strong", {}, word), ` ${percent(share)}`, rest && element("span", { class: "rest" }, `, ${rest}`)].filter(Boolean);
}

function item(result, picture) {
  const caption = element("span", { class: "word" }, result.word || "photo");
  // The distance of codes is a whole number of bits, that of vectors a real number.
  const shown = Number.isInteger(result.distance) ? String(result.distance) : result.distance.toFixed(3);
  const distance = element("span", { class: "distance" }, shown);
  return element("li", { class: "result", "data-id": result.id, title: `${result.id}, distance ${shown}` }, picture, caption, distance, result.credit && creditLine(result));
}

/** Return a picture in base64, scaled down if it is too large to send. */
async function encoded(file) {
  let blob = file;
  if (file.size > MOST_BYTES) {
    const picture = await createImageBitmap(file).catch(() => {
      throw new Error("the browser cannot read this picture");
    });
    const scale = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
    const canvas = element("canvas", { width: Math.ceil(picture.width * scale), height: Math.ceil(picture.height * scale) });
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9));
  }
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => fail(new Error("the file cannot be read"));
    reader.readAsDataURL(blob);
  });
}

async function start() {
  const response = await fetch("api/about");
  if (!response.ok) throw new Error(`the server answers ${response.status}`);
  new DrawPage(await response.json());
}

start().catch((error) => document.querySelector("main").replaceChildren(element("p", { class: "status failed" }, `The page cannot start: ${error.message}`)));
