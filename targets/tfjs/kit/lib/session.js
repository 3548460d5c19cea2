/**
 * A graph model in TensorFlow.js: named arrays in, named arrays out.
 *
 * The page and edgepack's parity check on Node run this same file, so that what was proven is what ships.
 */

const TYPES = {
  DT_FLOAT: "float32", DT_HALF: "float32", DT_BOOL: "bool", DT_INT32: "int32", DT_INT64: "int32",
  DT_UINT8: "int32", DT_INT8: "int32", DT_INT16: "int32", DT_UINT16: "int32",
};
const ARRAYS = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };
const WASM = ["tfjs-backend-wasm.wasm", "tfjs-backend-wasm-simd.wasm", "tfjs-backend-wasm-threaded-simd.wasm"];

/** What was fed does not fit the model. */
export class InputError extends Error {
  name = "InputError";
}

/** TensorFlow.js and the backends that are ready in it. There is one in a page, as its engine is global. */
export class Runtime {
  /**
   * @param module imports a file of runtime/; @param bytes reads one; @param require Node's own, where this is Node.
   */
  constructor({ module, bytes, require = () => ({}) }) {
    Object.assign(this, { module, bytes, require, tf: {}, backends: new Map(), queue: Promise.resolve() });
  }

  /** How many tensors it holds. */
  get tensors() {
    return this.tf.memory().numTensors;
  }

  /** Make a backend ready. Throws when this machine does not have it. */
  async prepare(backend) {
    if (!this.backends.has(backend)) this.backends.set(backend, this.#prepare(backend));
    try {
      await this.backends.get(backend);
    } catch (error) {
      this.backends.delete(backend); // the network may be back next time
      throw error;
    }
  }

  /** Run `work` when all earlier work is done: the engine's backend and scopes are global, and one model's at a time. */
  alone(work) {
    const turn = this.queue.then(work);
    this.queue = turn.catch(() => {});
    return turn;
  }

  async #prepare(backend) {
    this.core ??= this.#link("tfjs-core.js").then(() => this.#link("tfjs-converter.js"));
    try {
      await this.core;
    } catch (error) {
      this.core = undefined;
      throw error;
    }
    await this.#link(`tfjs-backend-${backend}.js`);
    if (backend === "wasm") await this.#placeWasm();
    const found = await this.alone(() => this.tf.setBackend(backend));
    if (!found) throw new Error(`this machine does not run the backend '${backend}'`);
  }

  async #link(name) {
    const { default: define } = await this.module(name);
    define(this.tf, (wanted) => (wanted === "@tensorflow/tfjs-core" ? this.tf : this.require(wanted)));
  }

  /** Hand over the variant that fits this machine, its bytes already checked. */
  async #placeWasm() {
    const env = this.tf.env();
    const simd = await env.getAsync("WASM_HAS_SIMD_SUPPORT");
    const threads = simd && (await env.getAsync("WASM_HAS_MULTITHREAD_SUPPORT"));
    const bytes = await this.bytes(WASM[threads ? 2 : simd ? 1 : 0]);
    const url = URL.createObjectURL(new Blob([bytes], { type: "application/wasm" }));
    this.tf.setWasmPaths(Object.fromEntries(WASM.map((name) => [name, url])), true);
  }
}

/** A loaded model on one backend. */
export class Session {
  /**
   * @param graph the parsed model.json; @param weights its shards in order, as ArrayBuffers.
   */
  static async open(runtime, backend, graph, weights) {
    await runtime.prepare(backend);
    return runtime.alone(async () => {
      const { tf } = runtime;
      await tf.setBackend(backend);
      const artifacts = {
        modelTopology: graph.modelTopology,
        format: graph.format,
        weightSpecs: graph.weightsManifest.flatMap((group) => group.weights),
        weightData: weights,
      };
      if (graph.modelInitializer) artifacts.modelInitializer = graph.modelInitializer;
      const model = await tf.loadGraphModel(tf.io.fromMemory(artifacts));
      return new Session(runtime, backend, graph, model);
    });
  }

  constructor(runtime, backend, graph, model) {
    Object.assign(this, { runtime, backend, model, dynamic: false });
    this.inputs = ports(graph.signature.inputs);
    this.outputs = ports(graph.signature.outputs);
    this.nodes = graph.modelTopology.node;
    const inFrames = withinFrames(this.nodes);
    const computed = this.nodes.filter((node) => !["Const", "Placeholder", "NoOp"].includes(node.op) && !inFrames.has(node.name));
    this.layerNodes = computed.map((node) => node.name);
  }

  /**
   * One inference.
   *
   * @param values {name: {data, shape}}; `data` a typed array of the input's type.
   * @returns {name: {data, shape, dtype}}
   */
  async run(values) {
    const results = await this.#execute(values, this.outputs.map((port) => port.node));
    return Object.fromEntries(this.outputs.map((port, i) => [port.name, results[i]]));
  }

  /** The first output of every op that gives floats, by the op's name. */
  async layers(values) {
    const results = await this.#execute(values, this.layerNodes);
    const pairs = this.layerNodes.map((name, i) => [name, results[i]]);
    return Object.fromEntries(pairs.filter(([, result]) => result?.dtype === "float32" && result.data.length));
  }

  dispose() {
    return this.runtime.alone(async () => {
      await this.runtime.tf.setBackend(this.backend);
      this.model.dispose();
    });
  }

  #execute(values, nodes) {
    return this.runtime.alone(async () => {
      const { tf } = this.runtime;
      await tf.setBackend(this.backend);
      tf.engine().startScope(); // whatever is made from here on goes at the scope's end, even when an op throws
      try {
        const results = await this.#call(this.#feed(values), nodes);
        return await Promise.all([results].flat().map(read)); // one alone comes bare
      } catch (error) {
        throw this.#blamed(error, values);
      } finally {
        tf.engine().endScope();
      }
    });
  }

  async #call(feed, nodes) {
    if (!this.dynamic) {
      try {
        return this.model.execute(feed, nodes);
      } catch (error) {
        if (!/executeAsync/.test(error.message)) throw error;
        this.dynamic = true; // loops, and ops whose output's shape depends on values
      }
    }
    return this.model.executeAsync(feed, nodes);
  }

  /** The error, with the op that failed: the one whose inputs can be computed, but not itself. */
  #blamed(error, values) {
    if (this.dynamic || error instanceof InputError) return error;
    const { tf } = this.runtime;
    const fails = (name) => {
      tf.engine().startScope();
      try {
        this.model.execute(this.#feed(values), [name]);
        return false;
      } catch {
        return true;
      } finally {
        tf.engine().endScope();
      }
    };
    const failed = new Set(this.layerNodes.filter(fails));
    const producer = (input) => input.replace(/^\^|:\d+$/g, "");
    const first = this.nodes.find(
      (node) => failed.has(node.name) && !(node.input ?? []).some((input) => failed.has(producer(input))),
    );
    return first ? new Error(`op '${first.name}' (${first.op}): ${error.message}`, { cause: error }) : error;
  }

  #feed(values) {
    return Object.fromEntries(this.inputs.map((port) => [port.node, this.#tensor(port, values[port.name])]));
  }

  #tensor(port, value) {
    if (value === undefined) throw new InputError(`The input '${port.name}' is missing.`);
    const size = value.shape.reduce((product, each) => product * each, 1);
    if (size !== value.data.length) {
      throw new InputError(`The input '${port.name}' has ${value.data.length} values; its shape ${value.shape} holds ${size}.`);
    }
    const Wanted = ARRAYS[port.dtype];
    const data = value.data instanceof Wanted ? value.data : Wanted.from(value.data, Number);
    return this.runtime.tf.tensor(data, value.shape, port.dtype);
  }
}

/** The nodes within loops and branches: they have no value, or many, once the graph has run. */
function withinFrames(nodes) {
  const within = new Set();
  const producer = (input) => input.replace(/^\^|:\d+$/g, "");
  const opens = (node) => node.op === "Enter" || node.op === "Switch";
  // a loop's merge reads what is in it; a branch's reads nothing but branches, and is where they end
  const closes = (node) => node.op === "Exit" || (node.op === "Merge" && !node.input.some((input) => enters.has(producer(input))));
  const enters = new Set(nodes.filter((node) => node.op === "Enter").map((node) => node.name));
  for (let before = -1; before < within.size; ) {
    before = within.size;
    for (const node of nodes) {
      if (opens(node) || (!closes(node) && (node.input ?? []).some((input) => within.has(producer(input))))) within.add(node.name);
    }
  }
  return within;
}

/** The signature's tensors: {name, node, dtype, shape}; a dimension that may vary is null. */
function ports(entries) {
  return Object.entries(entries).map(([name, entry]) => {
    const dtype = TYPES[entry.dtype];
    if (!dtype) throw new Error(`'${name}' is ${entry.dtype}, which TensorFlow.js does not take.`);
    const shape = (entry.tensorShape?.dim ?? []).map(({ size }) => (Number(size) < 0 ? null : Number(size)));
    return { name, node: entry.name, dtype, shape };
  });
}

async function read(tensor) {
  if (tensor.isDisposed) return undefined; // the handle of a list that a loop has used up
  const data = await tensor.data();
  const Wanted = ARRAYS[tensor.dtype] ?? data.constructor; // after a cast, the cpu backend gives what it cast from
  // a copy: what the cpu backend gives is its own memory
  const own = data instanceof Wanted ? data.slice() : Wanted.from(data);
  return { data: own, shape: tensor.shape.slice(), dtype: tensor.dtype };
}
