/** What the model answers: bars with labels, pictures, or plain numbers. */

import { element, picture } from "./elements.js";
import { extent, isPictureShape, pixelRange } from "./ranges.js";

const SHOWN = 64;
const SHOWN_BELOW_PICTURE = 16;
const SLACK = 0.1; // how far a network's colours may leave their range

export function showResults(container, model, outputs) {
  const several = model.outputs.length > 1;
  container.replaceChildren(
    ...model.outputs.flatMap(({ name }) => [
      ...(several ? [element("h3", { textContent: name })] : []),
      ...shown(name, outputs[name]),
    ]),
  );
}

/** The label of the best class, where an output has classes. */
export function bestLabel(outputs) {
  return Object.values(outputs).find(isRanked)?.top[0].label;
}

function isRanked({ top, shape }) {
  return top && !isPictureShape(shape);
}

function shown(name, output) {
  if (isRanked(output)) return [bars(output)];
  return isPictureShape(output.shape) ? [image(name, output), numbers(output, SHOWN_BELOW_PICTURE)] : [numbers(output)];
}

function image(name, { data, shape }) {
  const [, height, width, channels] = shape;
  const measured = extent([data]);
  const range = (channels === 3 && pixelRange(measured, SLACK)) || measured;
  const canvas = picture(data, height, width, channels === 1, range);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${name} as a picture`);
  const [black, white, low, high] = [...range, ...measured].map((value) => Number(value.toPrecision(4)));
  const words = `Values ${low} to ${high}; black is ${black}, white is ${white}.`;
  return element("figure", {}, canvas, element("figcaption", { className: "note", textContent: words }));
}

function bars({ top, data }) {
  const probabilities = data.every((value) => value >= 0 && value <= 1);
  const [low, high] = probabilities ? [0, 1] : [Math.min(0, ...top.map((each) => each.score)), Math.max(...top.map((each) => each.score))];
  const items = top.map(({ label, score }) => {
    const fill = element("div", { className: "fill" });
    fill.style.width = `${(100 * (score - low)) / (high - low || 1)}%`;
    const words = probabilities ? `${(100 * score).toFixed(1)} %` : score.toPrecision(4);
    return element("li", {}, fill, element("span", { textContent: label }), element("span", { textContent: words }));
  });
  return element("ol", { className: "bars" }, ...items);
}

function numbers({ data, shape }, limit = SHOWN) {
  const shown = Array.from(data.subarray(0, limit), (value) => (Number.isInteger(value) ? value : value.toPrecision(6)));
  const more = data.length > limit ? `, and ${data.length - limit} more` : "";
  return element("p", { className: "values", textContent: `[${shape.join(" x ")}]  ${shown.join(", ")}${more}` });
}

/** The table of a self-test. */
export function showMeasured(container, { outputs }) {
  const cell = (text) => element("td", { textContent: text });
  const rows = Object.entries(outputs).map(([name, each]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row", textContent: name }),
      cell(each.sqnr_db >= 300 ? "exact" : `${each.sqnr_db.toFixed(1)} dB`),
      cell(each.max_abs.toExponential(1)),
      cell(each.argmax_agreement === null ? "-" : `${(100 * each.argmax_agreement).toFixed(1)} %`),
    ),
  );
  const titles = ["Output", "SQNR", "Largest difference", "Same best class"];
  const head = element("tr", {}, ...titles.map((title) => element("th", { scope: "col", textContent: title })));
  container.tabIndex = 0; // so that the keyboard can scroll what is wider than a phone
  container.replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}
