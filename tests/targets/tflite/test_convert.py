"""Conversion to a float .tflite: it computes the same, keeps names, and says which layer it cannot take."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgepack.errors import ModelError
from edgepack.targets.tflite.convert import convert
from edgepack.targets.tflite.flatbuffer import ModelView
from edgepack.targets.tflite.target import target as tflite

L = keras.layers


def recurrent(layer):
    series = keras.Input((6, 3), name="series")
    return keras.Model(series, L.Dense(2, name="y")(layer(series)))


def attention():
    x = keras.Input((6, 8), name="series")
    return keras.Model(x, L.LayerNormalization(name="y")(x + L.MultiHeadAttention(2, 4)(x, x)))


FAMILIES = {
    "lstm": (lambda: recurrent(L.LSTM(4)), {"series": (6, 3)}),
    "gru": (lambda: recurrent(L.GRU(4)), {"series": (6, 3)}),
    "bidirectional": (lambda: recurrent(L.Bidirectional(L.LSTM(4))), {"series": (6, 3)}),
    "conv1d": (lambda: recurrent(L.Conv1D(4, 3, padding="causal")), {"series": (6, 3)}),
    "attention": (attention, {"series": (6, 8)}),
}


def test_a_cnn_answers_as_the_original(bench, draw, small_cnn):
    samples = draw(image=(8, 8, 3))
    model = bench.adopt(small_cnn)
    runner = tflite.open(bench.emit(bench.lower(model, samples), "float32"))
    assert bench.worst_db(model, runner, samples) >= 100


@pytest.mark.parametrize("family", FAMILIES)
def test_float_parity_of_other_families(bench, draw, family):
    make, shapes = FAMILIES[family]
    samples = draw(**shapes)
    model = bench.adopt(make())
    runner = tflite.open(bench.emit(bench.lower(model, samples), "float32"))
    assert bench.worst_db(model, runner, samples) >= 100


def test_names_and_the_order_of_inputs_and_outputs_survive(bench):
    zebra, ant = keras.Input((4,), name="zebra"), keras.Input((4,), name="ant")
    made = keras.Model([zebra, ant], {"z": L.Subtract()([zebra, ant]), "a": L.Add()([zebra, ant])})
    model = bench.adopt(made)
    runner = tflite.open(bench.emit(bench.lower(model, []), "float32"))
    assert runner.signature == model.signature
    one, two = np.ones((1, 4), np.float32), np.full((1, 4), 2, np.float32)
    answer = runner({"zebra": one, "ant": two})
    np.testing.assert_array_equal(answer["z"], one - two)
    np.testing.assert_array_equal(answer["a"], one + two)


def test_a_model_that_computes_nothing(bench):
    """The output is the input; one of two outputs is the input; both outputs are one tensor."""
    x = keras.Input((4,), name="x")
    double = L.Rescaling(2.0)(x)
    made = keras.Model(x, {"same": L.Identity()(x), "double": double, "again": L.Identity()(double)})
    model = bench.adopt(made)
    runner = tflite.open(bench.emit(bench.lower(model, []), "float32"))
    sample = {"x": np.array([[1, 2, 3, 4]], np.float32)}
    for name, value in model(sample).items():
        np.testing.assert_array_equal(runner(sample)[name], value)


def test_an_input_that_nothing_reads(bench):
    used, unused = keras.Input((4,), name="used"), keras.Input((2,), name="unused")
    model = bench.adopt(keras.Model([used, unused], L.Dense(2, name="y")(used)))
    runner = tflite.open(bench.emit(bench.lower(model, []), "float32"))
    sample = {"used": np.ones((1, 4), np.float32), "unused": np.ones((1, 2), np.float32)}
    np.testing.assert_allclose(runner(sample)["y"], model(sample)["y"], atol=1e-6)


def test_no_variable_is_left(bench, small_cnn):
    class Textbook(tf.Module):
        def __init__(self):
            super().__init__()
            self.net = small_cnn

        @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, name="image")])
        def predict(self, image):
            return {"probs": self.net(image / 255.0, training=False)}

    kinds = {op.kind for op in ModelView(convert(bench.adopt(Textbook()).form("tf"))).ops}
    assert not {kind for kind in kinds if "VAR" in kind or "ASSIGN" in kind or "CALL" in kind}


def test_an_op_that_tflite_lacks_is_named_with_its_layer(bench):
    class Determinant(L.Layer):
        def call(self, x):
            return tf.linalg.det(x)[:, None]

    x = keras.Input((3, 3), name="x")
    made = keras.Model(x, L.Dense(1)(Determinant(name="my_determinant")(x)))
    with pytest.raises(ModelError, match="no op MatrixDeterminant.*my_determinant"):
        bench.lower(made, [])


def test_two_ops_that_tflite_lacks_are_both_named(bench):
    class Lacking(L.Layer):
        def call(self, x):
            return tf.linalg.det(x)[:, None] + tf.linalg.cholesky(x)[:, 0]

    x = keras.Input((3, 3), name="x")
    with pytest.raises(ModelError) as caught:
        bench.lower(keras.Model(x, Lacking(name="lacking")(x)), [])
    assert "MatrixDeterminant" in caught.value.message
    assert "Cholesky" in caught.value.message
    assert caught.value.hint
