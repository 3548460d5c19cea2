// Runs in a page beside a bundle, whatever the browser: loads it on one backend, or runs it once. Arrays are
// {dtype, shape, base64}, both ways. What goes wrong is given back in words, as an exception would lose its own.
async ({ backend, inputs }) => {
  const ARRAYS = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };
  const DTYPES = { Float32Array: "float32", Int32Array: "int32", Uint8Array: "uint8" };

  function decode({ dtype, shape, base64 }) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    return { data: new ARRAYS[dtype](bytes.buffer), shape };
  }

  function encode({ data, shape }) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const parts = [];
    for (let at = 0; at < bytes.length; at += 8192) parts.push(String.fromCharCode(...bytes.subarray(at, at + 8192)));
    return { dtype: DTYPES[data.constructor.name], shape, base64: btoa(parts.join("")) };
  }

  const each = (table, change) => Object.fromEntries(Object.entries(table).map(([key, value]) => [key, change(value)]));
  try {
    if (backend !== undefined) {
      const { load } = await import(new URL("edgepack.js", document.baseURI).href);
      globalThis.edgepackModel = await load({ backend, fallback: false });
      return { backend: globalThis.edgepackModel.backend };
    }
    return { outputs: each(await globalThis.edgepackModel.predict(each(inputs, decode)), encode) };
  } catch (error) {
    return { error: error?.message ?? String(error) };
  }
}
