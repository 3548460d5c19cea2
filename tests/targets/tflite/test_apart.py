"""Constants that the quantizer fails on: read by several ops, or by none."""

import copy

import keras
import pytest

from edgepack.precision.plan import uniform_plan
from edgepack.spec import Precision
from edgepack.target import Plan
from edgepack.targets.tflite.apart import apart
from edgepack.targets.tflite.convert import convert
from edgepack.targets.tflite.flatbuffer import ModelView, write
from edgepack.targets.tflite.lowering import TFLiteLowering
from edgepack.targets.tflite.target import target as tflite

L = keras.layers


@pytest.fixture
def unrolled(bench, draw):
    """An LSTM whose steps share their weights; and samples."""
    keras.utils.set_random_seed(0)
    series = keras.Input((4, 8), name="series")
    made = keras.Model(series, L.Dense(3, name="y")(L.LSTM(8, unroll=True)(series)))
    return bench.adopt(made), draw(8, series=(4, 8))


def readers(data):
    """How often each float constant is read, by its name."""
    view = ModelView(data)
    found = {
        view.tensor_name(0, i): 0
        for i in range(len(view.model.subgraphs[0].tensors))
        if view.data_bytes(0, i)
    }
    for op in view.ops:
        for index in op.constants:
            if view.dtype(0, index) == "float32":
                found[view.tensor_name(0, index)] += 1
    return found


def test_every_reader_has_a_tensor_of_its_own_and_the_bytes_stay_one(unrolled):
    data = convert(unrolled[0].form("tf"))
    assert max(readers(data).values()) > 1
    told = apart(data)
    assert max(readers(told).values()) == 1
    assert len(told) < len(data) + 200 * len(readers(told))
    assert apart(told) == told


def test_ops_that_share_weights_may_differ_in_precision(bench, unrolled, tmp_path):
    """The quantizer's own copies made it fail: can only concatenate str (not "bytes") to str."""
    model, samples = unrolled
    lowering = bench.lower(model, samples)
    first = next(op.name for op in lowering.ops if op.kind == "FULLY_CONNECTED")
    artifact = lowering.emit(Plan(Precision.INT16X8, {first: Precision.FLOAT16}, plain=True), tmp_path)
    assert bench.worst_db(model, tflite.open(artifact), samples) >= 25


def test_a_constant_that_nobody_reads_does_not_break_the_file(bench, draw, tmp_path):
    """The converter leaves one behind where it moves a constant into a loop; its buffer is the other's."""
    keras.utils.set_random_seed(0)
    x = keras.Input((16,), name="x")
    model, samples = bench.adopt(keras.Model(x, L.Dense(12, name="y")(x))), draw(8, x=(16,))
    view = ModelView(convert(model.form("tf")))
    (dense,) = view.ops
    left = copy.copy(view.tensor(0, dense.inputs[1]))
    left.name = b"left"
    view.model.subgraphs[0].tensors.append(left)
    lowering = TFLiteLowering(write(view.model), model.signature, samples)
    artifact = lowering.emit(uniform_plan(lowering, Precision.INT8, "auto"), tmp_path)
    assert bench.worst_db(model, tflite.open(artifact), samples) >= 25
