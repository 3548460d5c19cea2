/** An input that is a picture: a file chosen or dropped, the camera, or - small grey ones - drawn by hand. */

import { element, thumbnail } from "./elements.js";

const LARGEST_DRAWN = 32;
const PREVIEW = 320;

export class ImageField {
  constructor(entry, changed, number) {
    this.entry = entry;
    this.changed = changed;
    [, this.height, this.width] = entry.shape;
    this.grey = entry.image.channels === "grey";
    this.source = null;
    this.canvas = element("canvas", { width: PREVIEW, height: PREVIEW });
    this.canvas.setAttribute("role", "img");
    this.video = element("video", { muted: true, playsInline: true, hidden: true });
    this.words = element("p", { textContent: "Drop a picture here" });
    this.drop = element("div", { className: "drop" }, this.canvas, this.video, this.words, this.#buttons(number));
    this.root = element("fieldset", {}, element("legend", { textContent: entry.name }), this.drop);
    this.#acceptDrops();
    this.#label("No picture yet");
    if (this.grey && Math.max(this.height, this.width) <= LARGEST_DRAWN) this.#acceptDrawing();
  }

  get ready() {
    return this.source !== null;
  }

  get live() {
    return !this.video.hidden;
  }

  value() {
    return this.source;
  }

  /** A golden sample: exactly its values, not a picture of them. */
  show(sample) {
    this.stop();
    this.#preview(thumbnail(sample, this.height, this.width, this.grey), false);
    this.#label("A sample");
    this.source = sample.data;
  }

  stop() {
    for (const track of this.video.srcObject?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
    this.video.hidden = true;
    this.canvas.hidden = false;
    if (this.camera) this.camera.textContent = "Use the camera";
  }

  /** Whether drawings are light on dark, as the samples are. */
  learn(sample) {
    const edge = Array.from(sample.data.slice(0, this.width));
    this.dark = edge.reduce((sum, value) => sum + value, 0) / edge.length < 128;
    if (this.clear) this.#wipe();
  }

  #buttons(number) {
    const id = `file-${number}`;
    const file = element("input", { id, type: "file", accept: "image/*", className: "unseen" });
    file.addEventListener("change", () => {
      if (file.files[0]) this.#take(file.files[0]);
      file.value = "";
    });
    this.row = element("div", { className: "row" }, file, element("label", { htmlFor: id, className: "button main", textContent: "Choose a picture" }));
    if (navigator.mediaDevices?.getUserMedia) {
      this.camera = element("button", { type: "button", textContent: "Use the camera" });
      this.camera.addEventListener("click", () => this.#toggleCamera());
      this.row.append(this.camera);
    }
    return this.row;
  }

  async #take(file) {
    this.stop();
    try {
      this.source = await createImageBitmap(file);
    } catch {
      this.changed(new Error(`${file.name} is not a picture that this browser reads.`));
      return;
    }
    this.#preview(this.source, true);
    this.#label(file.name);
    this.changed();
  }

  #preview(source, smooth) {
    const context = this.canvas.getContext("2d");
    Object.assign(this.canvas, { width: PREVIEW, height: PREVIEW });
    context.imageSmoothingEnabled = smooth;
    context.drawImage(source, 0, 0, PREVIEW, PREVIEW); // squeezed to the model's shape, as its input is
  }

  #label(text) {
    this.canvas.setAttribute("aria-label", text);
  }

  #acceptDrops() {
    const over = (on) => this.drop.classList.toggle("over", on);
    this.drop.addEventListener("dragover", (event) => {
      event.preventDefault();
      over(true);
    });
    this.drop.addEventListener("dragleave", () => over(false));
    this.drop.addEventListener("drop", (event) => {
      event.preventDefault();
      over(false);
      if (event.dataTransfer.files[0]) this.#take(event.dataTransfer.files[0]);
    });
  }

  async #toggleCamera() {
    if (this.live) return this.stop();
    try {
      this.video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      await this.video.play();
    } catch (error) {
      this.stop();
      this.changed(new Error(`The camera cannot be used: ${error.message}`));
      return;
    }
    this.video.hidden = false;
    this.canvas.hidden = true;
    this.camera.textContent = "Stop the camera";
    this.source = this.video;
    this.changed();
  }

  #acceptDrawing() {
    this.words.textContent = "Draw here, or drop a picture";
    this.canvas.classList.add("drawable");
    this.clear = element("button", { type: "button", textContent: "Clear" });
    this.clear.addEventListener("click", () => this.#wipe());
    this.row.append(this.clear);
    let last = null;
    const place = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [((event.clientX - box.left) * PREVIEW) / box.width, ((event.clientY - box.top) * PREVIEW) / box.height];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      if (this.source !== this.canvas) this.#wipe();
      last = place(event);
      this.#stroke(last, last);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      for (const each of event.getCoalescedEvents?.() ?? [event]) {
        const next = place(each);
        this.#stroke(last, next);
        last = next;
      }
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(kind, () => {
        if (last) this.changed();
        last = null;
      });
    }
    this.#wipe();
  }

  #wipe() {
    this.stop();
    const context = this.canvas.getContext("2d");
    Object.assign(this.canvas, { width: PREVIEW, height: PREVIEW });
    context.fillStyle = this.dark === false ? "#fff" : "#000";
    context.fillRect(0, 0, PREVIEW, PREVIEW);
    this.source = this.canvas;
    this.#label("A place to draw with the mouse or a finger; the samples below need neither");
  }

  #stroke([fromX, fromY], [toX, toY]) {
    const context = this.canvas.getContext("2d");
    Object.assign(context, { lineCap: "round", lineWidth: (2.2 * PREVIEW) / this.width, strokeStyle: this.dark === false ? "#000" : "#fff" });
    context.beginPath();
    context.moveTo(fromX, fromY);
    context.lineTo(toX, toY);
    context.stroke();
  }
}
