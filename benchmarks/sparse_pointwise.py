"""Do zeros make a TensorFlow Lite model faster? Six pointwise convolutions in float, 80 % of their weights zero.

    python benchmarks/sparse_pointwise.py

Each file is dense or written with TensorFlow Lite's sparse tensors, zeros anywhere or in blocks along the output channels,
which are those that XNNPACK has sparse kernels for. Times are of one thread, interleaved, the best of 60, beside the dense file's.
"""

import os
import time

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

ROUNDS, ZEROS, CHANNELS = 60, 0.8, 128
CASES = {"dense": None, "zeros, dense": 0, "zeros": 1, "zeros in blocks of 2": 2, "zeros in blocks of 4": 4}


def model():
    image = x = keras.Input((56, 56, 32), batch_size=1)
    for _ in range(6):
        x = keras.layers.Conv2D(CHANNELS, 1, activation="relu")(x)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))


def converted(made, block, rng):
    """A .tflite; ``block`` output channels are zero together, none where it is ``None``, tensors stay dense where it is 0."""
    for layer in made.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = rng.normal(0, 0.1, layer.kernel.shape).astype(np.float32)
            if block is not None:
                scores = rng.random((kernel.shape[2], CHANNELS // max(block, 1)))
                kernel *= np.repeat(scores >= np.quantile(scores, ZEROS), max(block, 1), axis=1)
            layer.kernel.assign(kernel)
    converter = tf.lite.TFLiteConverter.from_keras_model(made)
    if block:
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    return converter.convert()


def main():
    rng, made = np.random.default_rng(0), model()
    files = {name: converted(made, block, rng) for name, block in CASES.items()}
    runners = {name: Interpreter(model_content=file, num_threads=1) for name, file in files.items()}
    best = dict.fromkeys(files, float("inf"))
    for runner in runners.values():
        runner.allocate_tensors()
        runner.set_tensor(runner.get_input_details()[0]["index"], np.ones((1, 56, 56, 32), np.float32))
    for _ in range(ROUNDS):
        for name, runner in runners.items():
            start = time.process_time()
            runner.invoke()
            best[name] = min(best[name], time.process_time() - start)
    for name, file in files.items():
        size, seconds = len(file) / len(files["dense"]), best[name] / best["dense"]
        print(f"{name:22} {size:.2f} of the bytes, {seconds:.2f} of the time")


if __name__ == "__main__":
    main()
