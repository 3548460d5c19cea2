/**
 * A model in TensorFlow.js, asked through pipes: node run.mjs RUNTIME_FOLDER BACKEND
 *
 * Every message, both ways: uint32 length (little-endian) of a JSON header, the header, then the arrays' bytes in the
 * header's order. A first answer says that the runtime is there. A request is {op: "open" | "run" | "layers" | "time" |
 * "kernels" | "memory", arrays, ...}, "open" before the others; an answer {arrays, ...} or {error}.
 * It ends with its standard input, so it never outlives the process that asks.
 */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [runtimeFolder, backend] = process.argv.slice(2);
const here = new URL("../kit/lib/session.js", import.meta.url);
const ARRAYS = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };

for (const method of ["log", "info", "debug", "warn"]) console[method] = console.error; // stdout is for answers

function buffer(file) {
  const bytes = readFileSync(file);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
}

async function start() {
  const { Runtime } = await import(here);
  const nodes = createRequire(import.meta.url);
  const runtime = new Runtime({
    module: (name) => import(pathToFileURL(path.join(runtimeFolder, name))),
    bytes: async (name) => buffer(path.join(runtimeFolder, name)),
    require: (name) => (name === "seedrandom" ? {} : nodes(name)),
  });
  await runtime.prepare(backend);
  return runtime;
}

async function open(runtime, modelFile) {
  const { Session } = await import(here);
  const graph = JSON.parse(readFileSync(modelFile, "utf8"));
  const shards = graph.weightsManifest.flatMap((group) => group.paths);
  const weights = shards.map((name) => buffer(path.join(path.dirname(modelFile), name)));
  return Session.open(runtime, backend, graph, weights);
}

function send(header, arrays = {}) {
  const entries = Object.entries(arrays);
  header.arrays = entries.map(([name, { shape, dtype }]) => ({ name, shape, dtype }));
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  const bodies = entries.map(([, { data }]) => Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  process.stdout.write(Buffer.concat([length, text, ...bodies]));
}

function unpack(entries, body) {
  const values = {};
  let at = 0;
  for (const { name, shape, dtype } of entries) {
    const bytes = shape.reduce((a, b) => a * b, 1) * ARRAYS[dtype].BYTES_PER_ELEMENT;
    const start = body.byteOffset + at;
    values[name] = { data: new ARRAYS[dtype](body.buffer.slice(start, start + bytes)), shape };
    at += bytes;
  }
  return values;
}

/** The kernels that the model runs and a backend lacks; a backend registers its kernels even where it could not run. */
async function lacking(session, values, among) {
  const { tf, backends, module, require } = session.runtime;
  for (const name of among.filter((each) => !backends.has(each))) {
    const { default: define } = await module(`tfjs-backend-${name}.js`);
    define(tf, (wanted) => (wanted === "@tensorflow/tfjs-core" ? tf : require(wanted)));
  }
  const { kernelNames } = await tf.profile(() => session.run(values));
  const kernels = (name) => new Set(tf.getKernelsForBackend(name).map((kernel) => kernel.kernelName));
  const known = kernels(session.backend);
  const used = kernelNames.filter((name) => known.has(name)).sort(); // the profile also names what is put together of kernels
  return Object.fromEntries(among.map((name) => [name, used.filter((each) => !kernels(name).has(each))]));
}

/** The seconds that some work takes, and what comes of it. */
async function timed(work) {
  const begin = performance.now();
  const result = await work();
  return [(performance.now() - begin) / 1000, result];
}

async function answer({ op, arrays = [], among = [], calls, model }, body) {
  if (op === "open") {
    const [seconds, opened] = await timed(() => open(runtime, model));
    session = opened;
    return send({ seconds });
  }
  if (op === "time") {
    const values = unpack(arrays, body);
    const seconds = [];
    while (seconds.length < calls) seconds.push((await timed(() => session.run(values)))[0]);
    return send({ seconds });
  }
  if (op === "memory") return send({ tensors: session.runtime.tf.memory().numTensors });
  if (op === "kernels") return send({ lacking: await lacking(session, unpack(arrays, body), among) });
  return send({}, await session[op === "layers" ? "layers" : "run"](unpack(arrays, body)));
}

/** Whole messages from the pieces that a pipe delivers. */
async function* messages() {
  let held = Buffer.alloc(0);
  const pieces = process.stdin[Symbol.asyncIterator]();
  async function take(count) {
    const parts = [held];
    for (let size = held.length; size < count; size += parts.at(-1).length) {
      const { value, done } = await pieces.next();
      if (done) process.exit(0);
      parts.push(value);
    }
    const all = parts.length > 1 ? Buffer.concat(parts) : held;
    held = all.subarray(count);
    return all.subarray(0, count);
  }
  for (;;) {
    const header = JSON.parse(await take((await take(4)).readUInt32LE()));
    yield [header, await take(header.bytes ?? 0)];
  }
}

let runtime, session;
try {
  runtime = await start();
  send({ backend });
} catch (error) {
  send({ error: error.message });
}
for await (const [header, body] of messages()) {
  try {
    await answer(header, body);
  } catch (error) {
    send({ error: error.message });
  }
}
