/** An input that is numbers: a text field, its values separated by commas or spaces. */

import { element } from "./elements.js";

export class NumbersField {
  constructor(entry, changed, number) {
    this.entry = entry;
    this.changed = changed;
    this.size = entry.shape.reduce((product, each) => product * each, 1);
    const id = `numbers-${number}`;
    this.text = element("textarea", { id, spellcheck: false, inputMode: this.size === 1 ? "decimal" : "text" });
    this.text.addEventListener("change", () => changed());
    const hint = element("p", { id: `${id}-hint`, className: "note" });
    hint.textContent = `${this.size} ${entry.dtype} value${this.size > 1 ? "s" : ""}, shape ${entry.shape.join(" x ")}${entry.dtype === "bool" ? ", each 0 or 1" : ""}`;
    this.text.setAttribute("aria-describedby", hint.id);
    const label = element("label", { htmlFor: id, textContent: entry.name });
    const run = element("button", { type: "button", className: "main", textContent: "Run" });
    run.addEventListener("click", () => changed());
    this.root = element("fieldset", {}, label, this.text, hint, run);
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
