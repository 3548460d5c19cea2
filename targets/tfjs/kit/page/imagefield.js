/** An input that is a picture: a file chosen or dropped, the camera, or - small grey ones - drawn by hand. */

import { pixels } from "../lib/image.js";
import { Drawing, commonLayout } from "./drawing.js";
import { element, picture } from "./elements.js";
import { FileDrop } from "./filedrop.js";

const LARGEST_DRAWN = 32;
const PREVIEW = 320;
const PEN = 2.2; // of a drawing, in pixels of the model

export class ImageField {
  /**
   * @param range what the model takes for black and white
   * @param samples the values of this input in each sample
   */
  constructor({ entry, changed, number, range, samples }) {
    Object.assign(this, { entry, changed, range });
    [, this.height, this.width] = entry.shape;
    this.grey = entry.shape.at(-1) === 1;
    this.source = null;
    const scale = PREVIEW / Math.max(this.height, this.width);
    this.preview = { width: Math.round(this.width * scale), height: Math.round(this.height * scale) };
    this.canvas = element("canvas", { ...this.preview });
    this.canvas.setAttribute("role", "img");
    this.video = element("video", { muted: true, playsInline: true, hidden: true });
    const options = { id: `file-${number}`, kind: "picture", accept: "image/*", take: (file) => this.#take(file) };
    this.drop = new FileDrop(options, this.canvas, this.video);
    if (navigator.mediaDevices?.getUserMedia) {
      this.camera = this.drop.addButton("Use the camera", () => this.#toggleCamera());
    }
    this.root = element("fieldset", {}, element("legend", { textContent: entry.name }), this.drop.root);
    this.#label("No picture yet");
    if (!entry.image) this.#explainRange();
    if (this.grey && Math.max(this.height, this.width) <= LARGEST_DRAWN) this.#acceptDrawing(samples);
  }

  get ready() {
    return this.source !== null;
  }

  get live() {
    return !this.video.hidden;
  }

  /** A picture for an input that was declared one; else numbers in the range of the samples. */
  value() {
    if (this.source.numbers) return this.source.numbers;
    const source = this.source === this.drawing ? this.#drawn() : this.source;
    if (this.entry.image) return source;
    const [low, high] = this.range;
    return pixels(source, this.height, this.width, this.grey).map((value) => low + (value * (high - low)) / 255);
  }

  thumbnail({ data }) {
    return picture(data, this.height, this.width, this.grey, this.range);
  }

  /** A golden sample: exactly its values, not a picture of them. */
  show(sample) {
    this.stop();
    this.#show(this.thumbnail(sample), false);
    this.#label("A sample");
    this.source = { numbers: sample.data };
  }

  stop() {
    for (const track of this.video.srcObject?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
    this.video.hidden = true;
    this.canvas.hidden = false;
    if (this.camera) this.camera.textContent = "Use the camera";
    if (this.source === this.video) this.source = null;
  }

  #explainRange() {
    const [low, high] = this.range;
    const words = `Shown as a picture because the samples lie between ${low} and ${high}: black is ${low}, white is ${high}.`;
    this.root.append(element("p", { className: "note", textContent: words }));
  }

  async #take(file) {
    try {
      this.#hold(await createImageBitmap(file), file.name);
    } catch {
      this.changed(new Error(`${file.name} is not a picture that this browser reads.`));
    }
  }

  #hold(still, words) {
    this.stop();
    this.source = still;
    this.#show(still, true);
    this.#label(words);
    this.changed();
  }

  #show(source, smooth) {
    const context = this.canvas.getContext("2d");
    Object.assign(this.canvas, this.preview);
    context.imageSmoothingEnabled = smooth;
    context.drawImage(source, 0, 0, this.preview.width, this.preview.height); // squeezed, as the model's input is
  }

  #label(text) {
    this.canvas.setAttribute("aria-label", text);
  }

  async #toggleCamera() {
    if (this.live) return this.#hold(await createImageBitmap(this.video), "A picture from the camera");
    this.camera.disabled = true; // the browser may ask first
    try {
      this.video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      await this.video.play();
    } catch (error) {
      this.stop();
      return this.changed(new Error(`The camera cannot be used: ${error.message}`));
    } finally {
      this.camera.disabled = false;
    }
    this.video.hidden = false;
    this.canvas.hidden = true;
    this.camera.textContent = "Stop the camera";
    this.source = this.video;
    return this.changed();
  }

  /** Light on dark or dark on light, laid out as the samples are. */
  #acceptDrawing(samples) {
    const edge = samples.flatMap((data) => Array.from(data.slice(0, this.width)));
    const [low, high] = this.range;
    const dark = edge.reduce((sum, value) => sum + value, 0) / edge.length < (low + high) / 2;
    const ink = (value) => (dark ? value - low : high - value) / (high - low);
    this.layout = commonLayout(samples.map((data) => Array.from(data, ink)), this.height, this.width);
    const { width, height } = this.preview;
    this.drawing = new Drawing(width, height, (PEN * width) / this.width, dark ? "#fff" : "#000", dark ? "#000" : "#fff");
    const centred = " Before the model sees your drawing, it is centred and scaled as the samples are.";
    this.drop.words.textContent = `Draw here, or drop a picture.${this.layout ? centred : ""}`;
    this.drop.addButton("Clear", () => {
      this.#wipe();
      this.changed();
    });
    this.canvas.classList.add("drawable");
    this.#followPointer();
    this.#wipe();
  }

  #drawn() {
    return this.layout ? this.drawing.laidOut(this.layout) : this.canvas;
  }

  #followPointer() {
    let pressed = false;
    const place = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [((event.clientX - box.left) * this.canvas.width) / box.width, ((event.clientY - box.top) * this.canvas.height) / box.height];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      if (this.source !== this.drawing) this.#wipe();
      pressed = true;
      this.drawing.begin(place(event));
      this.drawing.paint(this.canvas);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!pressed) return;
      for (const each of event.getCoalescedEvents?.() ?? [event]) this.drawing.extend(place(each));
      this.drawing.paint(this.canvas);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(kind, () => {
        if (!pressed) return;
        pressed = false;
        this.source = this.drawing;
        this.#label("Your drawing");
        this.changed();
      });
    }
  }

  #wipe() {
    this.stop();
    this.drawing.lines = [];
    this.drawing.paint(this.canvas);
    this.source = null;
    this.#label("A place to draw with the mouse or a finger; the samples below need neither");
  }
}
