/** The curation page: interactive views of the classes, and decisions that are saved at once. */

import { ClassView, initialSettings } from "sketchdata/class_view.js";
import { answer, Decisions } from "sketchdata/decisions.js";
import { count, element } from "sketchdata/elements.js";
import { Shell } from "sketchdata/shell.js";

const keys = ([noun, nouns]) => [
  ["← → ↑ ↓", `Walk through the ${nouns}, move a line by half a percent`],
  ["Space", "Select or leave out; with Shift and arrows, select a range"],
  ["a, A", "Select the page, select all"],
  ["d, k, u", `Drop, keep, undo the selection or the focused ${noun}`],
  ["[ ]", "Turn the page"],
];

async function start() {
  const overview = await answer(await fetch("api/overview"));
  const decisions = new Decisions("api/decisions");
  const settings = initialSettings(overview);
  const rows = new Map(overview.classes.map((row) => [row.label, Object.assign(row, { decided: 0 })]));
  const labels = new Map();
  const banner = element("div", { class: "banner status failed", role: "alert" });
  document.querySelector("header").after(banner);
  let view = null;
  const shell = new Shell({
    overview,
    title: `Curation of ${overview.name}`,
    extra: [{ key: "decided", title: "Decided", text: count }],
    keys: keys(overview.nouns),
    showClass: (row) => {
      view = new ClassView({ row, overview, decisions, settings });
      return view.element;
    },
  });
  // Runs before the shell's keys: Esc clears a selection before it leaves the class.
  addEventListener("keydown", (event) => {
    if (shell.current && !shell.help.open && !event.defaultPrevented && view.key(event)) {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
  }, true);
  decisions.addEventListener("change", ({ detail }) => {
    for (const label of countDecided(detail, labels, rows)) shell.table.update(rows.get(label));
    view?.refresh();
  });
  decisions.addEventListener("state", ({ detail }) => {
    const text = detail === null ? "" : `The server does not answer, so nothing can be saved now: ${detail}`;
    if (banner.textContent !== text) banner.textContent = text;
  });
  decisions.follow();
}

/** Update the classes' numbers of decided items; return the labels of the classes that changed. */
function countDecided(changed, labels, rows) {
  const touched = new Set();
  for (const { id, label, verdict } of changed) {
    if (labels.has(id) === (verdict !== null)) continue;
    if (verdict === null) labels.delete(id);
    else labels.set(id, label);
    rows.get(label).decided += verdict === null ? -1 : 1;
    touched.add(label);
  }
  return touched;
}

start().catch((error) => document.querySelector("main").replaceChildren(element("p", { class: "status failed" }, `The page cannot start: ${error.message}`)));
