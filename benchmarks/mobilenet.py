"""edgepack against TensorFlow's own converter, side by side: MobileNetV2 at 224x224 to int8 TFLite.

Both run in fresh processes, taking turns. Prints one JSON document: wall times, file sizes, latency on one thread, and
how close edgepack's float32 file is to the original.

The weights are random, so nothing here says what int8 costs in accuracy; samples/digits measures that.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from side_by_side import SEED, SIZE, make_samples, parse_options, race

STOCK = Path(__file__).with_name("stock_tflite.py")


def write_model(path: Path, samples: np.ndarray) -> None:
    """MobileNetV2 with random weights, and batch statistics of real activations, without which all fade to zero."""
    import keras

    keras.utils.set_random_seed(SEED)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    model = keras.applications.MobileNetV2(input_tensor=image, weights=None)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(samples[:32], training=True)
    model.save(path)


def main() -> None:
    options = parse_options(__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, samples = folder / "mobilenet.keras", folder / "samples.npz"
        pictures = make_samples(options.samples)
        np.savez(samples, image=pictures)
        write_model(model, pictures)
        print(json.dumps(race(STOCK, model, samples, folder, options), indent=2))


if __name__ == "__main__":
    main()
