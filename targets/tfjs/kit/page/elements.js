/** Small helpers to make elements; text is always text, never markup. */

const SVG = "http://www.w3.org/2000/svg";
const SHARP = 64; // up to this side a picture is shown as the squares that it is made of

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Grey or RGB values as a canvas; `low` is black and `high` is white. */
export function picture(data, height, width, grey, [low, high] = [0, 255]) {
  const canvas = element("canvas", { width, height, className: Math.max(width, height) <= SHARP ? "sharp" : "" });
  const image = new ImageData(width, height);
  const scale = 255 / (high - low || 1);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = (data[grey ? i : 3 * i + c] - low) * scale;
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** The outline of a sound: the least and the largest value of each of `columns` stretches. */
export function outline(data, columns) {
  const extremes = Array.from({ length: columns }, (_, i) => {
    const end = Math.max(1, Math.floor(((i + 1) * data.length) / columns));
    const stretch = data.subarray(Math.min(end - 1, Math.floor((i * data.length) / columns)), end);
    return [stretch.reduce((a, b) => Math.max(a, b)), stretch.reduce((a, b) => Math.min(a, b))];
  });
  const lines = extremes.map(([top, bottom], i) => `M${i + 0.5} ${-top - 0.01}V${-bottom + 0.01}`); // silence shows, too
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  const attributes = { viewBox: `0 -1 ${columns} 2`, preserveAspectRatio: "none", class: "wave" };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  path.setAttribute("d", lines.join(""));
  svg.append(path);
  return svg;
}

export function formatBytes(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
