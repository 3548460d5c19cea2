/**
 * This folder's model in a web page: raw pixels or numbers in, named outputs and labels out. Types: edgepack.d.ts.
 *
 *     import { load } from "./edgepack.js";
 *     const model = await load();
 *     const { NAME } = await model.predict(image); // NAME.data, NAME.shape, NAME.top
 */

import { waveform } from "./lib/audio.js";
import { Files } from "./lib/files.js";
import { pixels } from "./lib/image.js";
import { LiteRT, LiteRTSession } from "./lib/litert.js";
import { readNpz, row } from "./lib/npz.js";
import { Meter, failures } from "./lib/parity.js";
import { InputError, Runtime, Session } from "./lib/session.js";

/** What to try in turn: the backend that was asked for, then those that nearly every browser has. */
const ORDER = {
  auto: ["wasm", "webgl", "cpu"],
  wasm: ["wasm", "cpu"],
  webgl: ["webgl", "wasm", "cpu"],
  webgpu: ["webgpu", "wasm", "cpu"],
  cpu: ["cpu"],
};
/** By the manifest's `runtime`: what to compute with, how to read the artifact for it, and where all bundles of a page find it. */
const RUNTIMES = {
  "": { Runtime, Session, read: readGraph, shared: Symbol.for("edgepack.tfjs-4.22.0") },
  litert: { Runtime: LiteRT, Session: LiteRTSession, read: readWhole, shared: Symbol.for("edgepack.litert-2.5.3") },
};
const DEFAULT_TOP = 5;

export const backends = Object.keys(ORDER).filter((name) => name !== "auto");

/** Load the model. See edgepack.d.ts. */
export async function load({ backend = "auto", baseUrl, fallback = true, onProgress = () => {} } = {}) {
  if (!ORDER[backend]) throw new Error(`There is no backend '${backend}'. Backends: ${Object.keys(ORDER).join(", ")}.`);
  const base = new URL(baseUrl ?? ".", baseUrl ? globalThis.location?.href : import.meta.url);
  const files = await Files.open(base.href.endsWith("/") ? base.href : `${base.href}/`);
  const { manifest } = files;
  const kind = RUNTIMES[manifest.runtime];
  const artifact = await download(files, kind.read, onProgress);
  const runtime = sharedRuntime(files, kind);
  const skipped = [];
  for (const candidate of fallback ? ORDER[backend] : ORDER[backend].slice(0, 1)) {
    const reason = refusal(manifest, candidate);
    if (reason) {
      skipped.push({ backend: candidate, reason });
      continue;
    }
    try {
      const session = await kind.Session.open(runtime, candidate, ...artifact);
      const model = new Model(files, session, skipped);
      await model.warmUp();
      return model;
    } catch (error) {
      skipped.push({ backend: candidate, reason: error.message });
    }
  }
  throw new Error(skipped.map(({ backend: name, reason }) => `${name}: ${reason}`).join("\n"));
}

/** Why this bundle is not to be tried on a backend; empty where it is. A manifest that names none was tried on none. */
function refusal({ backends: known }, backend) {
  if (Object.keys(known).length === 0) return "";
  return known[backend] ?? `this bundle does not run on ${backend}`;
}

/** The artifact as a session takes it. */
async function download(files, read, onProgress) {
  const [main] = files.manifest.artifact;
  const total = files.manifest.artifact.reduce((sum, name) => sum + files.entries.get(name).bytes, 0);
  let loaded = 0;
  const take = async (name) => {
    const bytes = await files.bytes(name);
    loaded += bytes.byteLength;
    onProgress({ loaded, total });
    return bytes;
  };
  return read(main, take);
}

async function readGraph(main, take) {
  const graph = JSON.parse(new TextDecoder().decode(await take(main)));
  return [graph, await Promise.all(graph.weightsManifest.flatMap((group) => group.paths).map(take))];
}

async function readWhole(main, take) {
  return [await take(main)];
}

/** TensorFlow.js and LiteRT.js keep their state in global variables, so all bundles of a page use one copy. */
function sharedRuntime(files, { Runtime: Kind, shared }) {
  globalThis[shared] ??= new Kind({
    module: (name) => files.module(`runtime/${name}`),
    bytes: (name) => files.bytes(`runtime/${name}`),
  });
  return globalThis[shared];
}

/** A loaded model. See edgepack.d.ts. */
export class Model {
  #files;
  #session;
  #runtime;
  #golden;

  constructor(files, session, skipped) {
    this.#files = files;
    this.#session = session;
    this.#runtime = session.runtime;
    this.manifest = files.manifest;
    this.backend = session.backend;
    this.backends = backends.filter((name) => refusal(files.manifest, name) === "");
    this.skipped = skipped;
    this.inputs = files.manifest.inputs;
    this.outputs = files.manifest.outputs;
    this.labels = files.manifest.labels;
  }

  /** One inference. */
  async predict(inputs, { topK } = {}) {
    const given = this.#isValue(inputs) ? { [this.#onlyInput()]: inputs } : inputs;
    const unknown = Object.keys(given).find((name) => !this.inputs.some((entry) => entry.name === name));
    if (unknown !== undefined) throw new InputError(`There is no input '${unknown}'.`);
    const values = {};
    for (const entry of this.inputs) values[entry.name] = await this.#value(entry, given[entry.name]);
    const results = await this.#session.run(values);
    const pairs = this.outputs.map((entry) => [entry.name, this.#ranked(entry, results[entry.name], topK)]);
    return Object.fromEntries(pairs);
  }

  /** Run once on zeros, so that shaders are compiled and memory is there; returns milliseconds. */
  async warmUp() {
    const start = performance.now();
    const zeros = this.inputs.map((entry) => [entry.name, { data: new Float32Array(count(entry.shape)), shape: entry.shape }]);
    await this.#session.run(Object.fromEntries(zeros));
    return performance.now() - start;
  }

  /** The samples that travel in the bundle, with the original model's answers. */
  async golden() {
    this.#golden ??= Promise.all(["inputs", "outputs"].map(async (part) => readNpz(await this.#files.bytes(`golden/${part}.npz`))));
    const [inputs, outputs] = await this.#golden;
    const at = (arrays, index) => Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, row(array, index)]));
    return Array.from({ length: this.manifest.golden.shipped }, (_, i) => ({ inputs: at(inputs, i), outputs: at(outputs, i) }));
  }

  /** Replay the golden samples and hold the answers against the original's. */
  async selfTest({ onProgress = () => {} } = {}) {
    const golden = await this.golden();
    const meters = new Map(this.outputs.map(({ name }) => [name, new Meter()]));
    for (const [index, { inputs, outputs }] of golden.entries()) {
      const results = await this.#session.run(inputs);
      for (const [name, meter] of meters) meter.update(outputs[name], results[name]);
      onProgress({ done: index + 1, total: golden.length });
    }
    const rows = [...meters].map(([name, meter]) => {
      const { metrics } = meter;
      const failed = failures(this.manifest, name, metrics, meter.places);
      return [name, { ...metrics, passed: failed.length === 0, failures: failed }];
    });
    const passed = rows.every(([, each]) => each.passed);
    return { passed, backend: this.backend, samples: golden.length, outputs: Object.fromEntries(rows) };
  }

  /** Give the model's memory back. */
  async dispose() {
    await this.#session?.dispose();
    this.#session = undefined;
  }

  /** How many tensors the runtime holds, all models of the page together. */
  get tensors() {
    return this.#runtime.tensors;
  }

  /** Whether this is what to feed, and not an object of that by name. */
  #isValue(given) {
    if (typeof given !== "object" || ArrayBuffer.isView(given) || Array.isArray(given) || isMedia(given)) return true;
    return given.data !== undefined && !this.inputs.some((entry) => entry.name === "data");
  }

  #onlyInput() {
    if (this.inputs.length > 1) {
      throw new InputError(`Name the inputs: {${this.inputs.map((entry) => JSON.stringify(entry.name)).join(", ")}}.`);
    }
    return this.inputs[0].name;
  }

  async #value(entry, given) {
    if (given === undefined) throw new InputError(`The input '${entry.name}' is missing.`);
    if (isMedia(given)) return { data: await this.#decoded(entry, given), shape: entry.shape };
    const data = given.data ?? given;
    const shape = given.shape ?? batched(entry, data);
    return { data: typeof data === "number" || typeof data === "boolean" ? [data] : data, shape };
  }

  #decoded(entry, given) {
    if (entry.image && isPicture(given)) return this.#pixels(entry, given);
    if (entry.audio && isSound(given)) return this.#waveform(entry, given);
    const wanted = entry.image ? "a picture" : entry.audio ? "a sound" : entry.meaning || "numbers";
    throw new InputError(`'${entry.name}' takes ${wanted}, not ${given.constructor.name}.`);
  }

  async #pixels(entry, given) {
    const [, height, width] = entry.shape;
    const source = given instanceof Blob ? await createImageBitmap(given) : given;
    return pixels(source, height, width, entry.image.channels === "grey");
  }

  async #waveform(entry, given) {
    const { data } = await waveform(given, entry.audio.rate, count(entry.shape));
    return data;
  }

  #ranked(entry, { data, shape }, topK) {
    const k = topK ?? entry.top_k ?? 0;
    const classes = shape.at(-1);
    const named = this.labels.length === classes;
    if (!k && !named) return { data, shape };
    const order = Array.from({ length: Math.min(classes, data.length) }, (_, i) => i).sort((a, b) => data[b] - data[a] || a - b);
    const top = order.slice(0, k || DEFAULT_TOP).map((index) => ({
      index,
      label: named ? this.labels[index] : `class ${index}`,
      score: data[index],
    }));
    return { data, shape, top };
  }
}

function count(shape) {
  return shape.reduce((product, size) => product * size, 1);
}

/** The declared shape, or several of it on the first axis when there are as many values. */
function batched({ shape }, data) {
  const one = count(shape.slice(1));
  const length = data.length ?? 1;
  return shape[0] === 1 && length % one === 0 && length > one ? [length / one, ...shape.slice(1)] : shape;
}

function isPicture(value) {
  return isOneOf(value, "ImageData", "ImageBitmap", "HTMLImageElement", "HTMLVideoElement", "HTMLCanvasElement", "OffscreenCanvas", "VideoFrame", "Blob");
}

function isSound(value) {
  return isOneOf(value, "AudioBuffer", "Blob");
}

function isMedia(value) {
  return isPicture(value) || isSound(value);
}

function isOneOf(value, ...kinds) {
  return kinds.some((kind) => globalThis[kind] && value instanceof globalThis[kind]);
}
