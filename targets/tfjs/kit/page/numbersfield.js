/** An input that is numbers: a text field, its values separated by commas or spaces. */

import { element } from "./elements.js";

const ONE_LINE = 4; // values

export class NumbersField {
  constructor({ entry, changed, number }) {
    this.entry = entry;
    this.changed = changed;
    this.size = entry.shape.reduce((product, each) => product * each, 1);
    const id = `numbers-${number}`;
    this.text = element("textarea", { id, spellcheck: false, rows: this.size > ONE_LINE ? 4 : 1 });
    this.text.addEventListener("change", () => changed());
    const hint = element("p", { id: `${id}-hint`, className: "note" });
    hint.textContent = `${this.size} ${entry.dtype} value${this.size > 1 ? "s" : ""}, shape ${entry.shape.join(" x ")}${entry.dtype === "bool" ? ", each 0 or 1" : ""}`;
    this.text.setAttribute("aria-describedby", hint.id);
    const label = element("label", { htmlFor: id, textContent: entry.name });
    this.root = element("fieldset", {}, label, this.text, hint);
  }

  get ready() {
    return this.text.value.trim() !== "";
  }

  value() {
    const words = this.text.value.split(/[\s,;]+/).filter(Boolean);
    const wrong = words.find((word) => !Number.isFinite(Number(word)));
    if (wrong !== undefined) throw new Error(`${this.entry.name}: "${wrong}" is not a number.`);
    if (words.length !== this.size) throw new Error(`${this.entry.name} takes ${this.size} values, not ${words.length}.`);
    return words.map(Number);
  }

  show({ data }) {
    this.text.value = Array.from(data, (value) => Number(Number(value).toPrecision(9))).join(", ");
  }

  stop() {}
}
