/** What the model answers: bars with labels, or plain numbers. */

import { element } from "./elements.js";

const SHOWN = 64;

export function showResults(container, model, outputs) {
  const several = model.outputs.length > 1;
  container.replaceChildren(
    ...model.outputs.flatMap(({ name }) => [
      ...(several ? [element("h3", { textContent: name })] : []),
      outputs[name].top ? bars(outputs[name]) : numbers(outputs[name]),
    ]),
  );
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

function numbers({ data, shape }) {
  const shown = Array.from(data.subarray(0, SHOWN), (value) => (Number.isInteger(value) ? value : value.toPrecision(6)));
  const more = data.length > SHOWN ? `, and ${data.length - SHOWN} more` : "";
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
      cell(`${each.sqnr_db.toFixed(1)} dB`),
      cell(each.max_abs.toExponential(1)),
      cell(each.argmax_agreement === null ? "-" : `${(100 * each.argmax_agreement).toFixed(1)} %`),
    ),
  );
  const titles = ["Output", "SQNR", "Largest difference", "Same best class"];
  const head = element("tr", {}, ...titles.map((title) => element("th", { scope: "col", textContent: title })));
  container.tabIndex = 0; // so that the keyboard can scroll what is wider than a phone
  container.replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}
