/**
 * Renderers of pictures. An item has an id, a score and a picture {kind, data}; table, histogram and gallery do not depend
 * on the kind. To show other pictures, add a kind and its renderer here.
 */

import { element, svgElement } from "sketchdata/elements.js";

const SIDE = 255;
const MARGIN = 10;

export const RENDERERS = {
  strokes: (data) => strokesPicture(decodeBase64(data)),
  image: (data) => image(data),
  edgemap: ({ edges, photo, credit }) => element("span", { class: "picture pair", title: credit }, photo && image(photo), image(edges)),
};

/** Return an element that shows a picture. Screen readers skip it and read the caption instead. */
export function drawPicture({ kind, data }) {
  return RENDERERS[kind](data);
}

/** Return the author of a photo, with a link to its page. */
export function creditLine({ credit, page }) {
  return page ? element("a", { class: "credit", href: page, title: credit, rel: "noreferrer" }, credit) : element("span", { class: "credit", title: credit }, credit);
}

function image(address) {
  return element("img", { src: address, alt: "", class: "picture", loading: "lazy" });
}

function decodeBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** Draw strokes, encoded as the number of points (LEB128), all x, then all y, one byte each. */
export function strokesPicture(bytes) {
  const parts = [];
  let right = 0;
  let bottom = 0;
  for (let at = 0; at < bytes.length; ) {
    const [points, start] = readNumber(bytes, at);
    for (let i = 0; i < points; i++) {
      const x = bytes[start + i];
      const y = bytes[start + points + i];
      parts.push(`${i ? "L" : "M"}${x} ${y}`);
      right = Math.max(right, x);
      bottom = Math.max(bottom, y);
    }
    if (points === 1) parts.push("h.01"); // a stroke of one point is a dot, which a round cap shows
    at = start + 2 * points;
  }
  const side = SIDE + 2 * MARGIN;
  const box = [(right - SIDE) / 2 - MARGIN, (bottom - SIDE) / 2 - MARGIN, side, side];
  const path = svgElement("path", { d: parts.join("") });
  return svgElement("svg", { viewBox: box.join(" "), class: "picture", "aria-hidden": "true" }, path);
}

function readNumber(bytes, at) {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    value += (byte & 127) * 2 ** shift;
    if (byte < 128) return [value, at];
  }
}
