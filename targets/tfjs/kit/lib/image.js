/**
 * Pictures as arrays: height x width x channels, 0..255, resized as the samples were when the bundle was built
 * (Pillow's bilinear filter, which averages when it makes a picture smaller; a canvas may skip pixels).
 */

/**
 * @param source ImageData, or anything that a canvas can draw (<img>, <video>, <canvas>, ImageBitmap)
 * @returns Float32Array, row by row
 */
export function pixels(source, height, width, grey) {
  const image = source instanceof ImageData ? source : drawn(source);
  let planes = unpack(image, grey);
  if (image.width !== width || image.height !== height) {
    const channels = grey ? 1 : 3;
    planes = resize(planes, image.height, image.width, channels, width, true);
    planes = resize(planes, image.height, width, channels, height, false);
  }
  return planes;
}

function drawn(source) {
  const width = source.naturalWidth || source.videoWidth || source.displayWidth || source.width;
  const height = source.naturalHeight || source.videoHeight || source.displayHeight || source.height;
  if (!width || !height) throw new Error("The picture has no size; is it loaded?");
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0);
  return context.getImageData(0, 0, width, height);
}

function unpack({ data }, grey) {
  const count = data.length / 4;
  const out = new Float32Array(grey ? count : count * 3);
  for (let i = 0; i < count; i++) {
    const [r, g, b] = [data[4 * i], data[4 * i + 1], data[4 * i + 2]];
    if (grey) out[i] = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16; // ITU-R 601-2, as Pillow rounds it
    else {
      out[3 * i] = r;
      out[3 * i + 1] = g;
      out[3 * i + 2] = b;
    }
  }
  return out;
}

/** One pass, along the rows or the columns, with a triangle filter that widens when the picture gets smaller. */
function resize(input, height, width, channels, size, horizontal) {
  const length = horizontal ? width : height;
  if (length === size) return input;
  const [outHeight, outWidth] = horizontal ? [height, size] : [size, width];
  const out = new Float32Array(outHeight * outWidth * channels);
  const step = (horizontal ? 1 : width) * channels;
  for (let to = 0; to < size; to++) {
    const { first, weights } = taps(to, length, size);
    for (let line = 0; line < (horizontal ? height : width); line++) {
      const from = horizontal ? (line * width + first) * channels : (first * width + line) * channels;
      const at = (horizontal ? line * size + to : to * width + line) * channels;
      for (let channel = 0; channel < channels; channel++) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) sum += weights[i] * input[from + i * step + channel];
        out[at + channel] = Math.round(sum);
      }
    }
  }
  return out;
}

/** Which input pixels make an output pixel, and how much of each. */
function taps(to, length, size) {
  const scale = length / size;
  const support = Math.max(scale, 1);
  const center = (to + 0.5) * scale;
  const first = Math.max(0, Math.trunc(center - support + 0.5));
  const last = Math.min(length, Math.trunc(center + support + 0.5));
  const weights = [];
  for (let i = first; i < last; i++) weights.push(Math.max(0, 1 - Math.abs((i + 0.5 - center) / support)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return { first, weights: weights.map((weight) => weight / total) };
}
