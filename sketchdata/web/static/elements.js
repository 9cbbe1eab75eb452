/** Elements made in one call: `element("button", {class: "plain", onclick: close}, "Close")`. */

const SVG = "http://www.w3.org/2000/svg";

/** Make an HTML element. Properties starting with `on` are listeners, the others attributes; null ones are left out. */
export function element(tag, properties = {}, ...children) {
  return dress(document.createElement(tag), properties, children);
}

/** Make an SVG element, in the same way. */
export function svgElement(tag, properties = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), properties, children);
}

function dress(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Return whether a key press belongs to a field that the user is typing into. */
export function isTyping(event) {
  return event.target.matches("input:not([type=checkbox]), textarea, select") || event.ctrlKey || event.metaKey || event.altKey;
}

/** Return a text that begins with a capital letter. */
export const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** Format a whole number with separators, and a share as a percentage. */
export const count = (number) => number.toLocaleString("en-US");
export const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);
export const score = (value) => (value === null ? "–" : value.toFixed(4));

/** Return a dialog that lists what keys do: [[key, what it does]]. */
export function keyDialog(keys) {
  const rows = keys.flatMap(([key, text]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, text)]);
  const close = element("button", { type: "button", class: "button", onclick: () => dialog.close() }, "Close");
  const dialog = element("dialog", { "aria-labelledby": "help-title" }, element("h2", { id: "help-title" }, "Keyboard"), element("dl", {}, ...rows), close);
  return dialog;
}

/** Return facts as a list of terms, with a heading, for the footer of a page. */
export function provenance(facts) {
  const items = Object.entries(facts).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
  return [element("h2", {}, "Provenance"), element("dl", {}, ...items)];
}
