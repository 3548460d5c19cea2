"""Average pools of Keras on PyTorch answer the mean of what is there, as on TensorFlow."""

import os
import subprocess
import sys

import numpy as np
import pytest

POOL = """
import sys
import keras, numpy as np
from edgepack.targets._keras import pooling
given = np.load(sys.argv[1])
layer = getattr(keras.layers, sys.argv[2])
size = given["x"].shape[1:]
for name, (window, step) in {"a": (3, 2), "b": (2, 2), "c": (4, 1), "d": (3, 5), "e": (2, 3)}.items():
    model = keras.Sequential([keras.Input(size), keras.Sequential([layer(window, step, padding="same")])])
    pooling.correct(model)
    np.save(f"{sys.argv[3]}/{name}.npy", keras.ops.convert_to_numpy(model(given["x"])))
"""
CASES = {"a": (3, 2), "b": (2, 2), "c": (4, 1), "d": (3, 5), "e": (2, 3)}


def means(x, window, step, axis):
    """The mean of a window along one axis, of the values that there are: sums, and how many."""
    size = x.shape[axis]
    total = max((-(-size // step) - 1) * step + window - size, 0)
    starts = [place * step - total // 2 for place in range(-(-size // step))]
    parts = [x.take(range(max(start, 0), min(start + window, size)), axis) for start in starts]
    return np.stack([part.mean(axis) for part in parts], axis)


@pytest.mark.parametrize(
    ("layer", "shape"), [("AveragePooling1D", (2, 8, 3)), ("AveragePooling2D", (2, 8, 9, 3))]
)
def test_a_mean_with_same_padding_counts_no_padding(layer, shape, tmp_path):
    x = np.random.default_rng(5).normal(size=shape).astype("float32")
    np.savez(tmp_path / "given.npz", x=x)
    command = [sys.executable, "-c", POOL, str(tmp_path / "given.npz"), layer, str(tmp_path)]
    subprocess.run(command, check=True, env=os.environ | {"KERAS_BACKEND": "torch"}, timeout=600)
    for name, (window, step) in CASES.items():
        expected = x
        for axis in range(1, x.ndim - 1):
            expected = means(expected, window, step, axis)
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, atol=1e-6)
