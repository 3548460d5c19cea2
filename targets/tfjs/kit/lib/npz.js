/**
 * NumPy's .npz files: a zip (APPNOTE 6.3.3) of .npy arrays (NumPy's format specification).
 */

const READERS = {
  "<f4": Float32Array, "<f8": Float64Array, "<i4": Int32Array, "<i8": BigInt64Array, "<i2": Int16Array,
  "<u2": Uint16Array, "|i1": Int8Array, "|u1": Uint8Array, "|b1": Uint8Array,
};

/** @returns {name: {data, shape}} of all arrays. */
export async function readNpz(buffer) {
  const arrays = {};
  for (const { name, method, data } of members(buffer)) {
    arrays[name.replace(/\.npy$/, "")] = readNpy(method === 8 ? await inflate(data) : data.slice().buffer);
  }
  return arrays;
}

function* members(buffer) {
  const view = new DataView(buffer);
  let end = buffer.byteLength - 22; // of an end record without a comment
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw new Error("This is not a .npz file.");
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    const nameLength = view.getUint16(at + 28, true);
    const local = view.getUint32(at + 42, true);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    yield {
      name: new TextDecoder().decode(new Uint8Array(buffer, at + 46, nameLength)),
      method: view.getUint16(at + 10, true),
      data: new Uint8Array(buffer, start, view.getUint32(at + 20, true)),
    };
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
}

function inflate(data) {
  return new Response(new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).arrayBuffer();
}

function readNpy(buffer) {
  const view = new DataView(buffer);
  const [size, start] = view.getUint8(6) === 1 ? [view.getUint16(8, true), 10] : [view.getUint32(8, true), 12];
  const header = new TextDecoder("latin1").decode(new Uint8Array(buffer, start, size));
  const kind = /'descr': '([^']+)'/.exec(header)[1];
  const shape = [.../'shape': \(([^)]*)\)/.exec(header)[1].matchAll(/\d+/g)].map(Number);
  const Reader = READERS[kind];
  if (!Reader) throw new Error(`An array of type ${kind} cannot be read here.`);
  const data = new Reader(buffer.slice(start + size));
  return { data: Reader === BigInt64Array ? Float64Array.from(data, Number) : data, shape };
}

/** The `index`-th of arrays stacked on a first axis. */
export function row({ data, shape }, index) {
  const size = shape.slice(1).reduce((product, each) => product * each, 1);
  return { data: data.subarray(index * size, (index + 1) * size), shape: shape.slice(1) };
}
