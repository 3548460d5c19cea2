"""Ops with a result that nobody reads, which the quantizer leaves in float: integers like its siblings, and the file runs."""

import keras
import pytest
import tensorflow as tf

from edgepack.targets.tflite.flatbuffer import ModelView
from edgepack.targets.tflite.target import target as tflite

L = keras.layers


class Parts(L.Layer):
    """All but the second of some parts, added up."""

    def __init__(self, parts):
        super().__init__()
        self.parts = parts

    def call(self, x):
        first, _, *others = self.parts(x)
        return tf.add_n([first, *others])


PARTS = {
    "SPLIT": lambda: Parts(lambda x: tf.split(x, 4, -1)),
    "SPLIT_V": lambda: Parts(lambda x: tf.split(x, [4, 2, 4, 4, 2], -1)[:4]),
    "UNPACK": lambda: Parts(lambda x: tf.unstack(x, axis=1)),
    "an unrolled LSTM": lambda: L.LSTM(8, unroll=True),
}


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
@pytest.mark.parametrize("kind", PARTS)
def test_all_results_are_of_one_type(bench, draw, kind, precision):
    keras.utils.set_random_seed(0)
    series = keras.Input((6, 16), name="series")
    made = keras.Model(series, L.Dense(3, name="y")(PARTS[kind]()(L.Dense(16)(series))))
    model, samples = bench.adopt(made), draw(16, series=(6, 16))
    lowering = bench.lower(model, samples)
    artifact = bench.emit(lowering, precision)
    view = ModelView(artifact.main.read_bytes())
    several = [op for op in view.ops if len(op.outputs) > 1]
    assert several
    assert all(len({view.dtype(0, index) for index in op.outputs}) == 1 for op in several)
    assert bench.worst_db(model, tflite.open(artifact), samples) >= 25
