/** An input that is sound: a file chosen or dropped, or the microphone. */

import { waveform } from "../lib/audio.js";
import { element, outline } from "./elements.js";
import { FileDrop } from "./filedrop.js";
import { record } from "./microphone.js";

const COLUMNS = 300;
const SAMPLE_COLUMNS = 56;
const RECORDING = "Recording …";
const UNNOTICED = 0.01; // seconds; a file's own rate seldom gives the very number of values

export class AudioField {
  constructor({ entry, changed, number }) {
    Object.assign(this, { entry, changed });
    this.rate = entry.audio.rate;
    this.size = entry.shape.reduce((product, each) => product * each, 1);
    this.seconds = this.size / this.rate;
    this.data = null;
    this.screen = element("div", { className: "sound" });
    this.screen.setAttribute("role", "img");
    this.note = element("p", { className: "note" });
    this.note.setAttribute("role", "status");
    const options = { id: `file-${number}`, kind: "sound file", accept: "audio/*", take: (file) => this.#takeFile(file) };
    this.drop = new FileDrop(options, this.screen);
    if (navigator.mediaDevices?.getUserMedia) {
      this.record = this.drop.addButton(this.#recordWords, () => this.#toggleRecording());
    }
    this.play = this.drop.addButton("Play", () => this.#togglePlaying());
    const about = `The model hears ${show(this.seconds)}, at ${this.rate} values a second.`;
    this.root = element("fieldset", {}, element("legend", { textContent: entry.name }), this.drop.root, this.note);
    this.drop.words.textContent += `. ${about}`;
    this.#show(new Float32Array(this.size), "No sound yet");
    this.play.disabled = true;
  }

  get ready() {
    return this.data !== null;
  }

  value() {
    return this.data;
  }

  thumbnail({ data }) {
    return outline(data, SAMPLE_COLUMNS);
  }

  show({ data }) {
    this.stop();
    this.#take({ data, length: this.size }, "A sample");
  }

  /** End what is played; drop what is recorded. */
  stop() {
    const recording = this.recording;
    this.#endRecording();
    recording?.abort();
    this.player?.close();
    this.player = null;
    this.play.textContent = "Play";
  }

  get #recordWords() {
    return `Record ${show(this.seconds)}`;
  }

  #show(data, words) {
    this.screen.replaceChildren(outline(data, COLUMNS));
    this.screen.setAttribute("aria-label", words);
  }

  #take({ data, length }, words) {
    this.data = data;
    this.#show(data, words);
    this.play.disabled = false;
    const given = length / this.rate;
    this.note.textContent = "";
    if (given > this.seconds + UNNOTICED) this.note.textContent = `Cut: the model hears the first ${show(this.seconds)} of ${show(given)}.`;
    if (given < this.seconds - UNNOTICED) this.note.textContent = `Padded: ${show(given)} of sound, then silence up to ${show(this.seconds)}.`;
  }

  async #takeFile(file) {
    this.stop();
    let sound;
    try {
      sound = await waveform(file, this.rate, this.size);
    } catch {
      this.changed(new Error(`${file.name} is not a sound that this browser reads.`));
      return;
    }
    this.#take(sound, file.name);
    this.changed();
  }

  async #toggleRecording() {
    if (this.recording) return this.recording.abort();
    this.stop();
    const recording = new AbortController();
    this.recording = recording;
    this.record.textContent = "Stop";
    try {
      const started = () => (this.note.textContent = RECORDING);
      const sound = await waveform(await record(this.seconds, recording.signal, started), this.rate, this.size);
      if (this.recording !== recording) return undefined; // something else was chosen meanwhile
      this.#take(sound, "Your recording");
    } catch (error) {
      return this.changed(new Error(`The microphone cannot be used: ${error.message}`));
    } finally {
      if (this.recording === recording) this.#endRecording();
    }
    return this.changed();
  }

  #endRecording() {
    if (!this.recording) return;
    this.recording = null;
    this.record.textContent = this.#recordWords;
    if (this.note.textContent === RECORDING) this.note.textContent = "";
  }

  /** What is heard is what the model gets. */
  #togglePlaying() {
    if (this.player) {
      this.stop();
      return;
    }
    const player = new AudioContext();
    const buffer = new AudioBuffer({ length: this.size, sampleRate: this.rate });
    buffer.copyToChannel(Float32Array.from(this.data), 0);
    const source = new AudioBufferSourceNode(player, { buffer });
    source.connect(player.destination);
    source.addEventListener("ended", () => this.player === player && this.stop());
    source.start();
    this.player = player;
    this.play.textContent = "Stop playing";
  }
}

function show(seconds) {
  return `${Number(seconds.toPrecision(3))} s`;
}
