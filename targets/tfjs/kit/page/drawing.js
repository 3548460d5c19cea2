/** A drawing by hand: it is kept as lines, so that it can be drawn again at the place and size that a model knows. */

const EVEN = 0.1; // share of a side that samples laid out alike may differ by
const INK = 0.1; // share of full ink that counts
const LARGEST = 4; // times that a small drawing is enlarged

/**
 * How the samples are laid out, where all are alike (as in MNIST: size-normalised, centred by their centre of mass).
 *
 * @param samples grey pictures, values 0..1, 1 being ink
 * @returns {size, x, y}: the longer side of the ink's box and its centre of mass, as shares of the picture; or null
 */
export function commonLayout(samples, height, width) {
  const layouts = samples.map((data) => measure(data, height, width));
  const common = {};
  for (const key of ["size", "x", "y"]) {
    const values = layouts.map((each) => each[key]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    if (!(high - low <= EVEN)) return null;
    common[key] = (low + high) / 2;
  }
  return common.size <= 1 - EVEN ? common : null;
}

function measure(data, height, width) {
  let [left, right, top, bottom, mass, x, y] = [width, 0, height, 0, 0, 0, 0];
  data.forEach((ink, i) => {
    if (ink < INK) return;
    const [column, line] = [i % width, Math.floor(i / width)];
    [left, right, top, bottom] = [Math.min(left, column), Math.max(right, column + 1), Math.min(top, line), Math.max(bottom, line + 1)];
    mass += ink;
    x += ink * (column + 0.5);
    y += ink * (line + 0.5);
  });
  return { size: Math.max((right - left) / width, (bottom - top) / height), x: x / mass / width, y: y / mass / height };
}

export class Drawing {
  lines = [];

  /** @param pen the width of a line, in pixels of the canvas; @param ink,paper colours */
  constructor(width, height, pen, ink, paper) {
    Object.assign(this, { width, height, pen, ink, paper });
  }

  begin(point) {
    this.lines.push([point]);
  }

  extend(point) {
    this.lines.at(-1).push(point);
  }

  /** Draw it, each point (x, y) at (x * scale + dx, y * scale + dy); the pen stays as wide as it is. */
  paint(canvas, { scale, dx, dy } = { scale: 1, dx: 0, dy: 0 }) {
    Object.assign(canvas, { width: this.width, height: this.height });
    const context = canvas.getContext("2d");
    context.fillStyle = this.paper;
    context.fillRect(0, 0, this.width, this.height);
    Object.assign(context, { lineCap: "round", lineJoin: "round", lineWidth: this.pen, strokeStyle: this.ink });
    for (const line of this.lines) {
      context.beginPath();
      for (const [x, y] of [line[0], ...line]) context.lineTo(x * scale + dx, y * scale + dy); // a dot is a line, too
      context.stroke();
    }
    return canvas;
  }

  /** The drawing laid out as the samples are. */
  laidOut(layout) {
    const points = this.lines.flat();
    const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
    const box = Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
    const scale = Math.min(LARGEST, (layout.size * Math.max(this.width, this.height) - this.pen) / (box || 1));
    const { x, y } = centerOfLines(this.lines);
    const place = { scale, dx: layout.x * this.width - x * scale, dy: layout.y * this.height - y * scale };
    return this.paint(document.createElement("canvas"), place);
  }
}

/** The mean place of the ink: each stretch of a line counts by its length. */
function centerOfLines(lines) {
  let [x, y, total] = [0, 0, 0];
  for (const line of lines) {
    for (let i = 0; i < line.length; i++) {
      const [[fromX, fromY], [toX, toY]] = [line[Math.max(0, i - 1)], line[i]];
      const weight = Math.hypot(toX - fromX, toY - fromY) + 1e-6; // a single point has a place, too
      x += (weight * (fromX + toX)) / 2;
      y += (weight * (fromY + toY)) / 2;
      total += weight;
    }
  }
  return { x: x / total, y: y / total };
}
