/** The microphone's plain values; MediaRecorder would compress them. */

/** What calls need and models do not know. */
const UNTOUCHED = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

/**
 * An AudioBuffer of so many seconds, or of less when `signal` ends it.
 *
 * @param started is called when the microphone is on
 */
export async function record(seconds, signal, started) {
  const context = new AudioContext();
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: UNTOUCHED });
    await context.audioWorklet.addModule(new URL("recorder.js", import.meta.url));
    started();
    return joined(await listen(context, stream, seconds, signal), context.sampleRate);
  } finally {
    for (const track of stream?.getTracks() ?? []) track.stop();
    await context.close();
  }
}

function listen(context, stream, seconds, signal) {
  const blocks = [];
  let missing = Math.ceil(seconds * context.sampleRate);
  const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  return new Promise((resolve) => {
    const end = () => resolve(blocks);
    node.port.onmessage = ({ data }) => {
      blocks.push(data.subarray(0, missing));
      missing -= data.length;
      if (missing <= 0) end();
    };
    signal.addEventListener("abort", end);
    stream.getAudioTracks()[0].addEventListener("ended", end); // unplugged
    context.createMediaStreamSource(stream).connect(node);
  });
}

function joined(blocks, sampleRate) {
  const length = Math.max(1, blocks.reduce((sum, block) => sum + block.length, 0));
  const buffer = new AudioBuffer({ length, sampleRate });
  let at = 0;
  for (const block of blocks) {
    buffer.copyToChannel(block, 0, at);
    at += block.length;
  }
  return buffer;
}
