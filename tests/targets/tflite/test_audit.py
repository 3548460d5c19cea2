"""The audit tells what is in a file, whoever made it: counted by hand here. "Full int8" is true only where it is."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgepack.precision.plan import uniform_plan
from edgepack.target import Artifact
from edgepack.targets.tflite.audit import audit
from edgepack.targets.tflite.flatbuffer import ModelView, write
from edgepack.targets.tflite.target import target as tflite

L = keras.layers


@pytest.fixture
def hand_checkable():
    """One convolution of 2x2x3x4 weights, one dense layer of 4x5; 16x16x3 in, so the pooling is an op of its own."""
    image = keras.Input((8, 8, 3), name="image")
    x = L.GlobalAveragePooling2D()(L.Conv2D(4, 2, name="conv")(image))
    return keras.Model(image, L.Dense(5, name="dense")(x))


@pytest.fixture
def lowering(bench, draw, hand_checkable):
    return bench.lower(hand_checkable, draw(16, image=(8, 8, 3)))


def test_float32_counted_by_hand(bench, lowering):
    found = tflite.audit(bench.emit(lowering, "float32"))
    assert {op.kind: op.precision for op in found.ops} == {
        "CONV_2D": "float32",
        "MEAN": "float32",
        "FULLY_CONNECTED": "float32",
    }
    sizes = {op.kind: op.bytes for op in found.ops}
    assert sizes["CONV_2D"] == 4 * (2 * 2 * 3 * 4 + 4)
    assert sizes["FULLY_CONNECTED"] == 4 * (4 * 5 + 5)  # its bias, all zero, is there all the same
    assert not found.full_int8
    assert found.float_islands == ()


def test_int8_counted_by_hand(bench, lowering):
    found = tflite.audit(bench.emit(lowering))
    assert found.ops_by_precision == {"int8": 3}
    convolution = next(op for op in found.ops if op.kind == "CONV_2D")
    assert convolution.bytes == 2 * 2 * 3 * 4 + 4 * 4  # weights of a byte, biases of four
    assert found.full_int8
    assert found.bytes_by_dtype["int8"] == 2 * 2 * 3 * 4 + 4 * 5
    assert "float32" not in found.tensors_by_dtype
    assert [spec.dtype for spec in (*found.signature.inputs, *found.signature.outputs)] == ["int8", "int8"]


@pytest.mark.parametrize(
    ("precision", "counts"),
    [
        ("float32", {"float32": 3}),
        ("float16", {"convert": 2, "float16": 2, "float32": 1}),
        ("int8_dynamic", {"float32": 1, "int8_dynamic": 2}),
        ("int16x8", {"int16x8": 3}),
    ],
)
def test_other_precisions_are_never_full_int8(bench, lowering, precision, counts):
    plan = uniform_plan(lowering, precision, "auto")
    found = tflite.audit(bench.emit(lowering, precision, ops=plan.ops))
    assert not found.full_int8
    assert found.ops_by_precision.keys() == counts.keys()
    assert sum(found.ops_by_precision.values()) >= sum(counts.values())


def test_float_inputs_or_outputs_are_not_full_int8(bench, lowering):
    found = tflite.audit(bench.emit(lowering, io="float"))
    assert found.ops_by_precision["int8"] == 3
    assert not found.full_int8


def test_one_island_is_not_full_int8(bench, lowering):
    mean = next(op for op in lowering.ops if op.kind == "MEAN")
    found = tflite.audit(bench.emit(lowering, ops={mean.name: "float32"}))
    assert not found.full_int8
    (island,) = found.float_islands
    assert (island.kind, bool(island.reason)) == ("MEAN", True)


def test_one_op_with_int16_activations_is_not_full_int8(bench, lowering):
    dense = next(op for op in lowering.ops if op.kind == "FULLY_CONNECTED")
    assert not tflite.audit(bench.emit(lowering, ops={dense.name: "int16x8"})).full_int8


def test_the_largest_ops_first(bench, lowering):
    sizes = [op.bytes for op in tflite.audit(bench.emit(lowering)).largest()]
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) > 0


def stock(made, samples=None, **settings):
    """A stranger's file: TensorFlow's own converter, as tutorials use it."""
    converter = tf.lite.TFLiteConverter.from_keras_model(made)
    if samples is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample["image"]] for sample in samples)
    for name, value in settings.items():
        setattr(converter, name, value)
    return converter.convert()


def test_a_strangers_file_without_a_signature(bench, hand_checkable):
    view = ModelView(stock(hand_checkable))
    view.model.signatureDefs = []
    found = audit(write(view.model))
    assert [spec.shape for spec in found.signature.inputs] == [(1, 8, 8, 3)]
    assert found.signature.inputs[0].name
    assert {"CONV_2D", "FULLY_CONNECTED"} <= {op.kind for op in found.ops}


def test_a_strangers_int8_file_with_float_io_is_not_full_int8(draw, hand_checkable):
    """What the tutorials' four lines give: everybody calls it int8."""
    found = audit(stock(hand_checkable, draw(4, image=(8, 8, 3))))
    assert found.ops_by_precision["int8"] == 3
    assert not found.full_int8


def test_a_strangers_full_int8_file(draw, hand_checkable):
    int8 = {"inference_input_type": tf.int8, "inference_output_type": tf.int8}
    found = audit(stock(hand_checkable, draw(4, image=(8, 8, 3)), **int8))
    assert found.full_int8


def test_a_strangers_dynamic_file_is_not_full_int8():
    made = keras.Sequential([keras.Input((64,)), L.Dense(64, name="dense")])
    found = audit(stock(made, optimizations=[tf.lite.Optimize.DEFAULT]))
    assert "int8_dynamic" in found.ops_by_precision
    assert not found.full_int8


def test_a_custom_op_has_its_own_name():
    view = ModelView(stock(keras.Sequential([keras.Input((4,)), L.Dense(2)])))
    code = view.model.operatorCodes[0]
    code.builtinCode, code.deprecatedBuiltinCode, code.customCode = 32, 32, b"TheirOwnOp"
    assert [op.kind for op in audit(write(view.model)).ops] == ["TheirOwnOp"]


def test_loops_are_looked_into(bench, draw):
    series = keras.Input((6, 8), name="series")
    lowering = bench.lower(keras.Model(series, L.LSTM(16, name="y")(series)), draw(8, series=(6, 8)))
    found = tflite.audit(bench.emit(lowering, "float32"))
    kinds = [op.kind for op in found.ops]
    assert "WHILE" in kinds
    assert kinds.count("FULLY_CONNECTED") + kinds.count("BATCH_MATMUL") >= 1


def test_an_artifact_is_read_from_its_folder(tmp_path):
    data = stock(keras.Sequential([keras.Input((4,)), L.Dense(2)]))
    (tmp_path / "model.tflite").write_bytes(data)
    found = tflite.audit(Artifact(tmp_path, ("model.tflite",)))
    assert found == audit(data)
    assert np.sum(list(found.tensors_by_dtype.values())) >= 3
