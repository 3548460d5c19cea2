/** A place that takes a file: dropped on it, or chosen with a button in its row of buttons. */

import { element } from "./elements.js";

export class FileDrop {
  /**
   * @param id of the file chooser; @param kind what is wanted, such as "picture"; @param accept its media types
   * @param take is called with the File
   */
  constructor({ id, kind, accept, take }, ...shown) {
    const file = element("input", { id, type: "file", accept, className: "unseen" });
    file.addEventListener("change", () => {
      if (file.files[0]) take(file.files[0]);
      file.value = "";
    });
    const choose = element("label", { htmlFor: id, className: "button main", textContent: `Choose a ${kind}` });
    this.row = element("div", { className: "row" }, file, choose);
    this.words = element("p", { textContent: `Drop a ${kind} here` });
    this.root = element("div", { className: "drop" }, ...shown, this.words, this.row);
    this.#acceptDrops(take);
  }

  addButton(text, clicked) {
    const button = element("button", { type: "button", textContent: text });
    button.addEventListener("click", clicked);
    this.row.append(button);
    return button;
  }

  #acceptDrops(take) {
    const over = (on) => this.root.classList.toggle("over", on);
    this.root.addEventListener("dragover", () => over(true));
    this.root.addEventListener("dragleave", () => over(false));
    this.root.addEventListener("drop", (event) => {
      over(false);
      if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
    });
  }
}

/** Without this, a file dropped beside its place replaces the page. */
export function keepPageOnDrop() {
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
}
