"""Ops that the quantizer leaves in float although LiteRT has an int8 kernel: made int8, one test for each of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgepack.plan import uniform_plan
from edgepack.targets.tflite.flatbuffer import ModelView
from edgepack.targets.tflite.islands import ABSORBED, INDEX
from edgepack.targets.tflite.target import target as tflite

L = keras.layers


def clipped(x):
    return tf.minimum(tf.maximum(tf.transpose(x, [0, 2, 1, 3]), -1.0), 1.0)


MIDDLE = {
    "LEAKY_RELU": L.LeakyReLU(0.2),
    "PRELU": L.PReLU(shared_axes=[1, 2], alpha_initializer=keras.initializers.RandomUniform(-0.3, 0.6, 3)),
    "ELU": L.ELU(),
    "RELU6": lambda x: tf.nn.relu6(4 * tf.transpose(x, [0, 2, 1, 3])),
    "RELU_N1_TO_1": clipped,
    "EXPAND_DIMS": lambda x: tf.expand_dims(x, 1),
    "SQUEEZE": lambda x: tf.squeeze(tf.nn.max_pool2d(x, 8, 8, "SAME"), [1, 2]),
    "TILE": lambda x: tf.tile(x, [1, 2, 1, 1]),
    "DEPTH_TO_SPACE": lambda x: tf.nn.depth_to_space(x, 2),
    "SPACE_TO_BATCH_ND": lambda x: tf.space_to_batch_nd(x, [2, 2], [[0, 0], [0, 0]]),
    "BATCH_TO_SPACE_ND": lambda x: tf.batch_to_space(tf.reshape(x, [4, 4, 4, 4]), [2, 2], [[0, 0], [0, 0]]),
    "REVERSE_V2": lambda x: tf.reverse(x, [1]),
    "REDUCE_MAX": lambda x: tf.reduce_max(x, [1]),
    "ARG_MAX": lambda x: tf.argmax(x, -1, tf.int32),
    "ARG_MIN": lambda x: tf.argmin(x, -1, tf.int32),
}


class Middle(L.Layer):
    """A layer of one TensorFlow expression."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, x):
        return self.function(x)


def between_layers(kind):
    """Convolution, the op, then a layer that takes whatever shape it gives; an index is an output at once."""
    middle = MIDDLE[kind]
    image = keras.Input(batch_shape=(1, 8, 8, 3), name="image")
    x = L.Conv2D(4, 3, padding="same", name="before")(image)
    x = middle(x) if isinstance(middle, L.Layer) else Middle(middle, name="middle")(x)
    if kind not in INDEX:
        x = L.Dense(6, name="after")(x)
    return keras.Model(image, L.Identity(name="y")(x))


@pytest.mark.parametrize("kind", ABSORBED)
def test_the_island_is_gone_and_the_answer_stays(bench, draw, kind):
    keras.utils.set_random_seed(3)
    samples = draw(16, image=(8, 8, 3))
    model = bench.adopt(between_layers(kind))
    lowering = bench.lower(model, samples)
    assert kind in {op.kind for op in lowering.ops}, "the converter made something else of it"
    plan = uniform_plan(lowering, "int8", "auto")
    assert plan.ops == {}
    artifact = bench.emit(lowering)
    audit = tflite.audit(artifact)
    assert [(op.kind, op.precision) for op in audit.ops if op.kind == kind] == [(kind, "int8")]
    assert audit.float_islands == ()
    assert audit.full_int8
    runner = tflite.open(artifact)
    if kind in INDEX:
        same = [np.mean(model(sample)["y"] == runner(sample)["y"]) for sample in samples]
        assert np.mean(same) > 0.9
    else:
        assert bench.worst_db(model, runner, samples) >= 25
