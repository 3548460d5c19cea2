"""Shapes and types at the boundary: what is resolved, what is narrowed, what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgepack.errors import ModelError, UsageError
from edgepack.spec import TensorSpec

L = keras.layers


def function_of(*specs, body):
    return tf.function(body, input_signature=list(specs))


def test_an_unknown_batch_is_one(bench):
    x = keras.Input((3,), name="x")
    model = bench.adopt(keras.Model(x, L.Dense(2)(x)))
    assert model.signature.input("x").shape == (1, 3)


def test_a_batch_that_the_source_fixes_stays(bench):
    x = keras.Input(batch_shape=(4, 3), name="x")
    assert bench.adopt(keras.Model(x, L.Dense(2)(x))).signature.input("x").shape == (4, 3)


def test_a_batch_can_be_asked_for(bench):
    x = keras.Input((3,), name="x")
    model = bench.adopt(keras.Model(x, L.Dense(2, name="y")(x)), shapes={"x": ((8, 3), None)})
    assert [spec.shape for spec in (*model.signature.inputs, *model.signature.outputs)] == [(8, 3), (8, 2)]


def test_other_unknown_dimensions_are_asked_for_with_the_samples_shape_as_proposal(bench):
    x = keras.Input((None, None, 3), name="image")
    made = keras.Model(x, L.Conv2D(2, 3)(x))
    with pytest.raises(UsageError, match=r"unknown dimensions: 1x\?x\?x3") as caught:
        bench.adopt(made)
    assert "--shape image=1x224x224x3" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        bench.adopt(made, sample_specs=(TensorSpec("image", (64, 48, 3), "uint8"),))
    assert "--shape image=1x64x48x3" in caught.value.hint
    given = bench.adopt(made, shapes={"image": ((1, 16, 16, 3), None)})
    assert given.signature.input("image").shape == (1, 16, 16, 3)


def test_a_shape_that_contradicts_the_model_is_refused(bench):
    x = keras.Input((None, 3), name="x")
    with pytest.raises(UsageError, match="does not fit the model, which has"):
        bench.adopt(keras.Model(x, L.Dense(2)(x)), shapes={"x": ((1, 5, 4), None)})


def test_a_shape_for_no_input_names_the_nearest(bench):
    x = keras.Input((3,), name="features")
    with pytest.raises(UsageError, match="Did you mean 'features'"):
        bench.adopt(keras.Model(x, L.Dense(2)(x)), shapes={"feature": ((1, 3), None)})


@pytest.mark.parametrize(
    ("original", "here"), [("int64", "int32"), ("float64", "float32"), ("int16", "int32"), ("bool", "bool")]
)
def test_input_types_are_narrowed_and_noted(bench, original, here):
    made = function_of(
        tf.TensorSpec([1, 3], original, name="x"), body=lambda x: {"y": tf.cast(x, tf.float32) * 2}
    )
    model = bench.adopt(made)
    assert model.signature.input("x").dtype == here
    assert any(original in note and here in note for note in model.notes) == (original != here)
    np.testing.assert_array_equal(model({"x": np.ones((1, 3), here)})["y"], [[2, 2, 2]])


@pytest.mark.parametrize(
    ("original", "here"),
    [("int64", "int32"), ("float64", "float32"), ("float16", "float32"), ("bool", "bool")],
)
def test_output_types_are_narrowed(bench, original, here):
    made = function_of(tf.TensorSpec([1, 3], name="x"), body=lambda x: {"y": tf.cast(x, original)})
    model = bench.adopt(made)
    assert model.signature.outputs[0].dtype == here
    assert model({"x": np.ones((1, 3), np.float32)})["y"].dtype == here


@pytest.mark.parametrize("policy", ["float16", "mixed_float16", "bfloat16"])
def test_a_model_in_half_precision_takes_and_gives_float32(bench, policy):
    x = keras.Input((3,), name="x")
    y = L.Dense(2, dtype=policy, name="y")(x)
    model = bench.adopt(keras.Model(x, y))
    assert [spec.dtype for spec in (*model.signature.inputs, *model.signature.outputs)] == ["float32"] * 2


def test_strings_are_refused(bench):
    taking = function_of(tf.TensorSpec([1], tf.string, name="text"), body=tf.strings.length)
    with pytest.raises(ModelError, match="'text' takes strings"):
        bench.adopt(taking)
    giving = function_of(tf.TensorSpec([1], name="x"), body=lambda x: {"label": tf.strings.as_string(x)})
    with pytest.raises(ModelError, match="'label' is a string"):
        bench.adopt(giving)


def test_complex_numbers_are_refused(bench):
    taking = function_of(tf.TensorSpec([1, 2], tf.complex64, name="z"), body=tf.abs)
    with pytest.raises(ModelError, match="complex64"):
        bench.adopt(taking)
    giving = function_of(tf.TensorSpec([1, 8], name="x"), body=lambda x: {"spectrum": tf.signal.rfft(x)})
    with pytest.raises(ModelError, match="spectrum.*complex64"):
        bench.adopt(giving)


def test_ragged_outputs_and_outputs_of_no_fixed_size_are_refused(bench):
    spec = tf.TensorSpec([4], name="x")
    ragged = function_of(spec, body=lambda x: {"rows": tf.RaggedTensor.from_row_lengths(x, [1, 3])})
    with pytest.raises(ModelError, match="RaggedTensor"):
        bench.adopt(ragged)
    sized = function_of(spec, body=lambda x: {"positive": tf.boolean_mask(x, x > 0)})
    with pytest.raises(ModelError, match="depends on the data"):
        bench.adopt(sized)


def test_an_output_that_is_no_tensor_is_refused(bench):
    made = function_of(tf.TensorSpec([4], name="x"), body=lambda x: {"x": x, "nothing": None})
    with pytest.raises(ModelError):
        bench.adopt(made)


def test_an_output_that_is_the_input(bench):
    made = function_of(tf.TensorSpec([1, 4], name="x"), body=lambda x: {"same": x, "double": 2 * x})
    model = bench.adopt(made)
    np.testing.assert_array_equal(model({"x": np.ones((1, 4), np.float32)})["same"], np.ones((1, 4)))


def test_random_layers_are_off(bench):
    x = keras.Input((100,), name="x")
    model = bench.adopt(keras.Model(x, L.GaussianNoise(1.0)(L.Dropout(0.9)(x))))
    ones = {"x": np.ones((1, 100), np.float32)}
    np.testing.assert_array_equal(next(iter(model(ones).values())), ones["x"])
