"""An artifact in LiteRT: real values in and out, whatever is stored; every layer on the way."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgepack.quantization import dequantize, quantize
from edgepack.spec import Quantization, TensorSpec
from edgepack.targets.tflite.target import target as tflite

L = keras.layers
FLOATS = hnp.arrays(np.float32, 8, elements=st.floats(-1e4, 1e4, width=32))
SCALES = st.floats(2**-17, 8, width=32)


@pytest.mark.parametrize(
    ("real", "stored"),
    [(0.0, -28), (0.5, -27), (0.25, -28), (0.74, -27), (0.76, -26), (-0.26, -29), (1e9, 127), (-1e9, -128)],
)
def test_rounding_and_clamping(real, stored):
    spec = TensorSpec("x", (1,), "int8", Quantization(0.5, -28))
    assert quantize(np.array([real], np.float32), spec).tolist() == [stored]


@given(FLOATS, SCALES, st.integers(-128, 127))
def test_there_and_back_is_off_by_half_a_step_at_most(values, scale, zero_point):
    quantization = Quantization(scale, zero_point)
    spec = TensorSpec("x", (8,), "int8", quantization)
    low, high = (np.float64(scale) * (edge - zero_point) for edge in (-128, 127))
    inside = np.clip(values.astype(np.float64), low, high)
    back = dequantize(quantize(values, spec), quantization)
    assert np.all(np.abs(back - inside) <= 0.5 * scale * (1 + 1e-3) + 1e-6)


@given(hnp.arrays(np.int8, 8), SCALES, st.integers(-128, 127))
def test_back_and_there_is_the_same(stored, scale, zero_point):
    quantization = Quantization(scale, zero_point)
    spec = TensorSpec("x", (8,), "int8", quantization)
    np.testing.assert_array_equal(quantize(dequantize(stored, quantization), spec), stored)


@given(FLOATS)
def test_what_is_not_quantized_passes(values):
    np.testing.assert_array_equal(quantize(values, TensorSpec("x", (8,), "float32")), values)
    np.testing.assert_array_equal(dequantize(values, None), values)


def test_pixels_of_uint8_are_real_numbers_too(bench, draw, small_cnn):
    """Samples stay uint8 on disk; both ways of feeding them are one."""
    lowering = bench.lower(small_cnn, draw(8, image=(8, 8, 3)))
    pixels = np.random.default_rng(0).integers(0, 2, (1, 8, 8, 3), np.uint8)
    for precision in ("float32", "int8"):
        runner = tflite.open(bench.emit(lowering, precision))
        np.testing.assert_array_equal(
            runner({"image": pixels})["classes"], runner({"image": pixels.astype(np.float32)})["classes"]
        )


@pytest.mark.parametrize("precision", ["float32", "int8", "int16x8"])
def test_several_inputs_and_outputs_are_not_mixed_up(bench, draw, precision):
    zebra, ant = keras.Input((4,), name="zebra"), keras.Input((4,), name="ant")
    made = keras.Model([zebra, ant], {"z": L.Subtract()([zebra, ant]), "a": L.Add()([zebra, ant])})
    model = bench.adopt(made)
    samples = draw(16, zebra=(4,), ant=(4,))
    runner = tflite.open(bench.emit(bench.lower(model, samples), precision))
    assert [spec.name for spec in runner.signature.inputs] == ["zebra", "ant"]
    assert [spec.name for spec in runner.signature.outputs] == ["z", "a"]
    assert bench.worst_db(model, runner, samples) >= 25


def test_an_output_survives_the_next_call(bench, small_cnn, draw):
    """No view of the interpreter's memory is handed out."""
    first, second = draw(2, image=(8, 8, 3))
    runner = tflite.open(bench.emit(bench.lower(small_cnn, []), "float32"))
    kept = runner(first)["classes"]
    copy = kept.copy()
    runner(second)
    np.testing.assert_array_equal(kept, copy)


@pytest.mark.parametrize("precision", ["float32", "int8", "int8_dynamic", "float16"])
def test_layers_in_the_order_they_run(bench, draw, small_cnn, precision):
    samples = draw(8, image=(8, 8, 3))
    lowering = bench.lower(small_cnn, samples)
    layers = tflite.open(bench.emit(lowering, precision)).layers(samples[0])
    assert list(layers) == [op.name for op in lowering.ops]
    assert list(layers)[-1] == "classes"
    np.testing.assert_allclose(layers["classes"].sum(), 1, atol=0.02)


def test_layers_answer_as_the_runner_does(bench, draw, small_cnn):
    samples = draw(8, image=(8, 8, 3))
    runner = tflite.open(bench.emit(bench.lower(small_cnn, samples)))
    for sample in samples:
        np.testing.assert_allclose(
            runner.layers(sample)["classes"], runner(sample)["classes"], atol=1.01 / 256
        )


def test_layers_of_a_model_with_a_loop(bench, draw):
    series = keras.Input((6, 8), name="series")
    samples = draw(8, series=(6, 8))
    lowering = bench.lower(keras.Model(series, L.Dense(2, name="y")(L.LSTM(16)(series))), samples)
    assert "y" in tflite.open(bench.emit(lowering, "int8_dynamic")).layers(samples[0])
