"""Dense layers without a bias get one of zeros, which changes no answer; where a channel has no weights, a bias still counts."""

import keras
import numpy as np
import pytest

from edgepack.targets.tflite.biases import with_biases
from edgepack.targets.tflite.convert import convert
from edgepack.targets.tflite.flatbuffer import ModelView
from edgepack.targets.tflite.target import target as tflite


@pytest.fixture
def made():
    features = keras.Input((12,), name="features")
    x = keras.layers.Dense(8, use_bias=False, activation="relu")(features)
    x = keras.layers.Dense(8, bias_initializer="ones")(x)
    return keras.Model(features, keras.layers.Dense(3, use_bias=False, name="value")(x))


def dense(data):
    return [op for op in ModelView(data).ops if op.kind == "FULLY_CONNECTED"]


def test_every_dense_layer_has_a_bias_and_answers_as_before(bench, draw, made):
    samples = draw(features=(12,))
    model = bench.adopt(made)
    assert any(len(op.inputs) < 3 for op in dense(convert(model.form("tf"))))
    for precision in ("float32", "int8"):
        artifact = bench.emit(bench.lower(model, samples), precision)
        assert all(len(op.inputs) == 3 for op in dense(artifact.main.read_bytes()))
        assert bench.worst_db(model, tflite.open(artifact), samples) >= (
            100 if precision == "float32" else 28
        )
    assert tflite.audit(artifact).full_int8


def test_biases_that_are_there_stay(bench, made):
    data = with_biases(convert(bench.adopt(made).form("tf")))
    assert with_biases(data) == data
    values = [
        ModelView(data).model.buffers[ModelView(data).tensor(0, op.inputs[2]).buffer].data
        for op in dense(data)
    ]
    assert [bool(np.any(each)) for each in values] == [False, True, False]


def test_equal_biases_are_not_one(bench, draw):
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(4, 3, activation="relu")(image)
    made = keras.Model(image, keras.layers.Conv2D(4, 3, name="mask")(keras.layers.Conv2D(4, 3)(x)))
    model = bench.adopt(made)

    def biases(data):
        return [op.inputs[2] for op in ModelView(data).ops if op.kind == "CONV_2D"]

    data = convert(model.form("tf"))
    assert len(set(biases(data))) == 1
    assert len(set(biases(with_biases(data)))) == 3
    samples = draw(image=(8, 8, 3))
    artifact = bench.emit(bench.lower(model, samples), "float32")
    assert bench.worst_db(model, tflite.open(artifact), samples) >= 100


@pytest.mark.parametrize("layer", ["conv", "depthwise", "dense"])
def test_the_bias_of_a_channel_without_weights_is_kept(bench, draw, layer):
    image = keras.Input((8, 8, 4), name="image")
    biased = {"bias_initializer": keras.initializers.Constant(1.5), "activation": "relu", "name": "first"}
    made = {
        "conv": keras.layers.Conv2D(4, 3, **biased),
        "depthwise": keras.layers.DepthwiseConv2D(3, **biased),
        "dense": keras.layers.Dense(4, **biased),
    }[layer]
    model = keras.Model(image, keras.layers.Conv2D(2, 1, name="mask")(made(image)))
    kernel, bias = made.get_weights()
    kernel[..., 1, 0 if layer == "depthwise" else slice(None)] = 0
    if layer != "depthwise":
        kernel[..., 1] = 0
    made.set_weights([kernel, bias])
    adopted, samples = bench.adopt(model), draw(image=(8, 8, 4))
    artifact = bench.emit(bench.lower(adopted, samples), "int8", plain=True)
    assert bench.worst_db(adopted, tflite.open(artifact), samples) >= 25


def test_layers_that_share_a_channel_without_weights_keep_their_biases(bench, draw):
    image = keras.Input((8, 8, 4), name="image")
    shared = keras.layers.Conv2D(
        4, 3, padding="same", bias_initializer=keras.initializers.Constant(1.5), activation="relu"
    )
    model = keras.Model(image, keras.layers.Conv2D(2, 1, name="mask")(shared(shared(image))))
    kernel, bias = shared.get_weights()
    kernel[..., 1] = 0
    kernel[:, :, 1] = 0
    shared.set_weights([kernel, bias])
    adopted, samples = bench.adopt(model), draw(image=(8, 8, 4))
    artifact = bench.emit(bench.lower(adopted, samples), "int8", plain=True)
    view = ModelView(artifact.main.read_bytes())
    first, second, _ = [op for op in view.ops if op.kind == "CONV_2D"]
    assert view.tensor(0, first.inputs[1]).buffer == view.tensor(0, second.inputs[1]).buffer
    assert bench.worst_db(adopted, tflite.open(artifact), samples) >= 25
