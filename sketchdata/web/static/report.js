/** The report: the table of classes, and of each class its histogram and example drawings. It is given all its data. */

import { count, element, score } from "sketchdata/elements.js";
import { Histogram } from "sketchdata/histogram.js";
import { drawPicture } from "sketchdata/pictures.js";
import { classNumbers, Shell, statistics } from "sketchdata/shell.js";

const data = JSON.parse(document.querySelector("#data").textContent);

new Shell({ overview: data, title: `Audit of ${data.name}`, showClass });

function showClass(row) {
  const histogram = new Histogram(data.score);
  histogram.show({ bins: row.bins, range: row.axis });
  histogram.place({ percentile: data.low, score: row.low }, { percentile: data.high, score: row.high });
  const groups = data.places.filter(([place]) => row.examples[place]).map(([place, title]) => exampleGroup(title, row.examples[place], histogram));
  const caption = `How many drawings have which entropy; noise lies beyond the two lines. Below, drawings from the left end of the axis to the right.`;
  return element(
    "div",
    {},
    statistics([["Drawings", count(row.count)], ...classNumbers(row, data)]),
    element("figure", {}, histogram.element, element("figcaption", {}, caption)),
    element("div", { class: "examples" }, ...groups),
  );
}

function exampleGroup(title, examples, histogram) {
  const figures = examples.map(([id, value, picture]) => {
    const point = () => histogram.mark(value);
    const away = () => histogram.mark(null);
    const caption = element("figcaption", {}, score(value));
    const listeners = { onmouseenter: point, onmouseleave: away, onfocus: point, onblur: away };
    return element("figure", { class: "example", tabindex: 0, role: "img", "aria-label": `Drawing ${id}, entropy ${score(value)}`, title: `key_id ${id}`, ...listeners }, drawPicture({ kind: data.kind, data: picture }), caption);
  });
  return element("section", {}, element("h2", {}, title), element("div", { class: "example-row" }, ...figures));
}
