/** How near two arrays are, as edgepack measures it (edgepack/parity.py), and the bundle's own gate. */

const MAX_DB = 300;
const MARGIN_DB = 1; // the gate was met by all held-back samples together; a bundle carries some of them

export class Meter {
  signal = 0;
  power = 0;
  noise = 0;
  dot = 0;
  max = 0;
  same = 0;
  places = 0;

  update(original, { data, shape }) {
    if (original.data.length !== data.length) throw new Error(`${data.length} values instead of ${original.data.length}`);
    for (let i = 0; i < data.length; i++) {
      const [x, y] = [Number(original.data[i]), Number(data[i])];
      this.signal += x * x;
      this.power += y * y;
      this.dot += x * y;
      this.noise += (x - y) ** 2;
      this.max = Math.max(this.max, Math.abs(x - y));
    }
    const last = shape.at(-1);
    if (shape.length < 2 || last < 2) return;
    for (let at = 0; at < data.length; at += last) {
      this.same += best(original.data.subarray(at, at + last)) === best(data.subarray(at, at + last)) ? 1 : 0;
      this.places++;
    }
  }

  get metrics() {
    const decibels = this.noise === 0 ? MAX_DB : 10 * Math.log10(this.signal / this.noise);
    const norm = Math.sqrt(this.signal) * Math.sqrt(this.power);
    return {
      sqnr_db: Number.isNaN(decibels) ? -MAX_DB : Math.max(-MAX_DB, Math.min(MAX_DB, decibels)),
      max_abs: this.max,
      cosine: norm ? Math.min(1, this.dot / norm) : Number(this.noise === 0),
      argmax_agreement: this.places ? this.same / this.places : null,
    };
  }
}

function best(values) {
  let index = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[index]) index = i;
  return index;
}

/** What of the bundle's gate this output does not meet, in words. */
export function failures(manifest, name, metrics, places) {
  const slack = { sqnr_db: MARGIN_DB, max_abs: 0, cosine: 1e-3, argmax_agreement: places ? 1 / places : 0 };
  const asked = (manifest.gate.asked[name] ?? [manifest.gate.expression]).join(", ");
  const failed = [];
  for (const [, metric, comparison, text] of asked.matchAll(/(\w+)\s*([<>]=?)\s*([-+.\de]+)/g)) {
    const [limit, value, margin] = [Number(text), metrics[metric], slack[metric]];
    if (value === null) continue;
    const met = comparison[0] === ">" ? value >= limit - margin : value <= limit + margin;
    if (!met) failed.push(`${metric} is ${value.toPrecision(4)}, not ${comparison} ${limit}`);
  }
  if (!Number.isFinite(metrics.max_abs)) failed.push("a value is not finite");
  return failed;
}
