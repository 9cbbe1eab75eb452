/** The report: the table of classes, and the histogram and examples of each class. The page contains all its data. */

import { capital, count, element, score } from "sketchdata/elements.js";
import { Histogram } from "sketchdata/histogram.js";
import { creditLine, drawPicture } from "sketchdata/pictures.js";
import { classNumbers, Shell, statistics } from "sketchdata/shell.js";

const data = JSON.parse(document.querySelector("#data").textContent);

new Shell({ overview: data, title: `Audit of ${data.name}`, showClass });

function showClass(row) {
  const histogram = new Histogram({ ...data.score, low: data.low !== null });
  histogram.show({ bins: row.bins, range: row.axis });
  histogram.place({ low: { percentile: data.low ?? 0, score: row.low }, high: { percentile: data.high, score: row.high } });
  const groups = data.places.filter(([place]) => row.examples[place]).map(([place, title]) => exampleGroup(title, row.examples[place], histogram));
  return element(
    "div",
    {},
    statistics([[capital(data.nouns[1]), count(row.count)], ...classNumbers(row, data)]),
    element("figure", {}, histogram.element, element("figcaption", {}, data.caption)),
    element("div", { class: `examples ${data.kind}` }, ...groups),
  );
}

function exampleGroup(title, examples, histogram) {
  return element("section", {}, element("h2", {}, title), element("div", { class: "example-row" }, ...examples.map((each) => example(each, histogram))));
}

function example([id, value, picture], histogram) {
  const point = () => histogram.mark(value);
  const away = () => histogram.mark(null);
  const listeners = { onmouseenter: point, onmouseleave: away, onfocus: point, onblur: away };
  const name = `${capital(data.nouns[0])} ${id}, ${data.score.word} ${score(value)}`;
  const caption = element("figcaption", {}, score(value));
  const figure = element("figure", { tabindex: 0, role: "img", "aria-label": name, title: `key_id ${id}`, ...listeners }, drawPicture({ kind: data.kind, data: picture }), caption);
  return element("div", { class: "example" }, figure, picture.credit && creditLine(picture));
}

