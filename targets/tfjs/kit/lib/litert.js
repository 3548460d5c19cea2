/**
 * A .tflite in LiteRT.js: named arrays in, named arrays out (see session.js).
 *
 * On WebAssembly only: there its kernels are those of LiteRT everywhere else, integers included; its WebGPU has others.
 */

import { InputError } from "./session.js";

const ARRAYS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array };
const WORDS = 5;

/** LiteRT.js, ready or not yet. There is one in a page, as its library is global. */
export class LiteRT {
  /** @param module imports a file of runtime/; @param bytes reads one. */
  constructor({ module, bytes }) {
    Object.assign(this, { module, bytes, tensors: 0, words: [] });
  }

  /** Make a backend ready. Throws when this machine does not have it. */
  async prepare(backend) {
    if (backend !== "wasm") throw new Error(`LiteRT.js does not run here on '${backend}'`);
    this.ready ??= this.#start();
    try {
      await this.ready;
    } catch (error) {
      this.ready = undefined; // the network may be back next time
      throw error;
    }
  }

  /** A tensor of the library; it counts as held until `free` is called with it. */
  tensor(data, shape) {
    const made = new this.api.Tensor(data, shape);
    this.tensors++;
    return made;
  }

  async run(compiled, tensors) {
    const made = await compiled.run(tensors);
    this.tensors += made.length;
    return made;
  }

  free(tensors) {
    for (const tensor of tensors) tensor.delete();
    this.tensors -= tensors.length;
  }

  /** What the library said last: its errors only tell that something failed. */
  blamed(error) {
    const words = this.words.filter((line) => line.startsWith("ERROR"));
    return words.length ? new Error([error.message, ...words].join("\n"), { cause: error }) : error;
  }

  async #start() {
    this.api ??= await this.module("litert.js");
    const name = await this.#variant();
    const [{ default: factory }, code] = await Promise.all([this.module(`${name}.js`), this.bytes(`${name}.wasm`)]);
    this.library = await this.api.start(await this.#instance(factory, await compiled(code)));
  }

  /** The WebAssembly that fits this machine. */
  async #variant() {
    return `litert_wasm${(await this.api.supportsFeature("relaxedSimd")) ? "" : "_compat"}_internal`;
  }

  #instance(factory, module) {
    return new Promise((resolve, reject) => {
      const instantiateWasm = (imports, receive) => {
        WebAssembly.instantiate(module, imports).then((instance) => receive(instance, module), reject);
        return {};
      };
      const listen = (line) => (this.words = [...this.words, line].slice(-WORDS));
      factory({ instantiateWasm, print: listen, printErr: listen }).then(resolve, reject);
    });
  }
}

/** A loaded model. */
export class LiteRTSession {
  /** @param bytes the .tflite, an ArrayBuffer. */
  static async open(runtime, backend, bytes) {
    await runtime.prepare(backend);
    runtime.words = [];
    let model;
    try {
      model = await runtime.library.loadAndCompile(new Uint8Array(bytes), { accelerator: "wasm" });
    } catch (error) {
      throw runtime.blamed(error);
    }
    const twice = repeated(model.getOutputDetails().map(({ name }) => name));
    if (twice === undefined) return new LiteRTSession(runtime, backend, model);
    model.delete();
    throw new Error(`another output is the same tensor as '${twice}'; LiteRT.js fills only one of them`);
  }

  constructor(runtime, backend, model) {
    Object.assign(this, { runtime, backend, model });
    this.inputs = model.getInputDetails().map(port);
    this.outputs = model.getOutputDetails().map(port);
  }

  /**
   * One inference; several, one after the other, for samples that lie along the first axis.
   *
   * @param values {name: {data, shape}}
   * @returns {name: {data, shape, dtype}}
   */
  async run(values) {
    const feeds = this.inputs.map((input) => feed(input, values[input.name]));
    const samples = this.#samples(feeds);
    const results = [];
    for (let i = 0; i < samples; i++) {
      results.push(await this.#execute(this.inputs.map(({ size }, k) => feeds[k].subarray(i * size, (i + 1) * size))));
    }
    return Object.fromEntries(this.outputs.map((output, k) => [output.name, joined(output, results.map((each) => each[k]))]));
  }

  async dispose() {
    this.model.delete();
  }

  /** How many were fed: each input must hold as many. */
  #samples(feeds) {
    const counts = feeds.map((data, k) => data.length / this.inputs[k].size);
    const [samples] = counts;
    if (counts.some((count) => count !== samples)) {
      throw new InputError(`The inputs hold different numbers of samples: ${counts.join(", ")}.`);
    }
    if (samples > 1 && [...this.inputs, ...this.outputs].some(({ shape }) => shape[0] !== 1)) {
      throw new InputError(`This model takes one sample at a time, not ${samples}.`);
    }
    return samples;
  }

  async #execute(feeds) {
    const { runtime } = this;
    runtime.words = [];
    const fed = [];
    try {
      for (const [k, data] of feeds.entries()) fed.push(runtime.tensor(data, this.inputs[k].shape));
      const made = await runtime.run(this.model, fed);
      try {
        return made.map((tensor) => tensor.toTypedArray());
      } finally {
        runtime.free(made);
      }
    } catch (error) {
      throw runtime.blamed(error);
    } finally {
      runtime.free(fed);
    }
  }
}

function repeated(names) {
  return names.find((name, i) => names.indexOf(name) !== i);
}

function port({ name, dtype, shape }) {
  return { name, dtype, shape: [...shape], size: shape.reduce((product, each) => product * each, 1) };
}

/** The values of an input as it takes them, of one sample or more. */
function feed({ name, dtype, shape, size }, value) {
  if (value === undefined) throw new InputError(`The input '${name}' is missing.`);
  const count = value.shape.reduce((product, each) => product * each, 1);
  if (count !== value.data.length) {
    throw new InputError(`The input '${name}' has ${value.data.length} values; its shape ${value.shape} holds ${count}.`);
  }
  const fits = value.shape.length === shape.length && shape.every((each, axis) => each === value.shape[axis] || axis === 0);
  if (!fits || count % size !== 0 || count === 0) {
    throw new InputError(`The input '${name}' has the shape ${value.shape}; the model takes ${shape}.`);
  }
  const Wanted = ARRAYS[dtype];
  return value.data instanceof Wanted ? value.data : Wanted.from(value.data, Number);
}

/** One output of all samples. */
function joined({ dtype, shape, size }, parts) {
  if (parts.length === 1) return { data: parts[0], shape, dtype };
  const data = new ARRAYS[dtype](parts.length * size);
  for (const [i, part] of parts.entries()) data.set(part, i * size);
  return { data, shape: [parts.length, ...shape.slice(1)], dtype };
}

async function compiled(code) {
  if (!globalThis.WebAssembly) throw new Error("this browser has no WebAssembly");
  try {
    return await WebAssembly.compile(code);
  } catch (error) {
    throw new Error(`this browser's WebAssembly is too old (LiteRT.js needs SIMD): ${error.message}`, { cause: error });
  }
}
