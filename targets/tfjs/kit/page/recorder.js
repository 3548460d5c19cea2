/** In the audio thread: hand every block of the microphone's first channel to the page, as it is. */
registerProcessor(
  "recorder",
  class extends AudioWorkletProcessor {
    process([[channel]]) {
      if (channel) this.port.postMessage(channel.slice());
      return true;
    }
  },
);
