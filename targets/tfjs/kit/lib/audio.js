/**
 * Sound as arrays: one channel, values -1..1, at the rate that the model takes.
 */

const CROSSINGS = 16; // zeros of the sinc on each side of a value

/**
 * The beginning of a sound; silence follows one that is too short.
 *
 * @param source an AudioBuffer, or the Blob of a sound file that the browser reads
 * @param rate values a second; @param size how many the model takes
 * @returns {data: Float32Array, length}: `length` is how many values the whole sound has at this rate
 */
export async function waveform(source, rate, size) {
  const buffer = source instanceof Blob ? await decode(source, rate) : source;
  const sound = resample(mix(buffer), buffer.sampleRate, rate);
  const data = new Float32Array(size);
  data.set(sound.subarray(0, size));
  return { data, length: sound.length };
}

/** An offline context decodes to its own rate, whatever the file's. */
async function decode(blob, rate) {
  return new OfflineAudioContext(1, 1, rate).decodeAudioData(await blob.arrayBuffer());
}

/** The mean of all channels. */
function mix(buffer) {
  const out = buffer.getChannelData(0).slice();
  for (let channel = 1; channel < buffer.numberOfChannels; channel++) {
    buffer.getChannelData(channel).forEach((value, i) => (out[i] += value));
  }
  return buffer.numberOfChannels === 1 ? out : out.map((value) => value / buffer.numberOfChannels);
}

/** Band-limited interpolation with a sinc in a Hann window (J. O. Smith, Digital Audio Resampling Home Page). */
export function resample(input, from, to) {
  if (from === to) return input;
  const cutoff = Math.min(1, to / from); // what the lower rate cannot hold would fold back
  const reach = CROSSINGS / cutoff;
  const out = new Float32Array(Math.round((input.length * to) / from));
  for (let i = 0; i < out.length; i++) {
    const center = (i * from) / to;
    const last = Math.min(input.length - 1, Math.floor(center + reach));
    let sum = 0;
    for (let j = Math.max(0, Math.ceil(center - reach)); j <= last; j++) {
      const angle = Math.PI * (j - center);
      const sinc = angle ? Math.sin(cutoff * angle) / (cutoff * angle) : 1;
      sum += input[j] * sinc * (0.5 + 0.5 * Math.cos(angle / reach));
    }
    out[i] = cutoff * sum;
  }
  return out;
}
