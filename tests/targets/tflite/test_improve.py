"""What is tried before int8 is given up, and stays only where it helps."""

import keras
import numpy as np
import pytest

from edgepack.precision.plan import uniform_plan
from edgepack.spec import Precision
from edgepack.targets.tflite.flatbuffer import ModelView
from edgepack.targets.tflite.improve import State
from edgepack.targets.tflite.target import target as tflite

L = keras.layers


@pytest.fixture
def trained_like(draw):
    """A network whose inputs tell of each other, and (samples to build with, samples to judge by)."""
    keras.utils.set_random_seed(5)
    image = x = keras.Input((12, 12, 3), name="image")
    for filters in (16, 32, 32):
        x = L.ReLU()(L.BatchNormalization(gamma_initializer=uneven)(L.Conv2D(filters, 3)(x)))
    model = keras.Model(image, L.Dense(6, name="scores")(L.GlobalAveragePooling2D()(x)))
    small = np.random.default_rng(3).uniform(-1, 1, size=(240, 3, 3, 3)).astype(np.float32)
    smooth = small.repeat(4, axis=1).repeat(4, axis=2)
    samples = [{"image": picture[None]} for picture in smooth]
    return model, samples[:200], samples[200:]


def uneven(shape, dtype=None):
    return keras.ops.convert_to_tensor(np.geomspace(0.1, 3, int(np.prod(shape))).reshape(shape), dtype)


def stock(lowering, precision):
    """The file without any of it."""
    plan = uniform_plan(lowering, precision, "auto")
    return lowering._emit(State(lowering._float32, lowering._ranges), plan)


@pytest.mark.parametrize(("precision", "gain"), [("int8", 0.7), ("int16x8", 1.5)])
def test_it_is_better_on_samples_that_nothing_saw_and_no_larger(
    bench, trained_like, tmp_path, precision, gain
):
    made, samples, others = trained_like
    model = bench.adopt(made)
    lowering = bench.lower(model, samples)
    plain = tmp_path / "model.tflite"
    plain.write_bytes(stock(lowering, Precision(precision)))
    artifact = bench.emit(lowering, precision)
    before = bench.worst_db(model, tflite.open(type(artifact)(tmp_path, (plain.name,))), others)
    assert bench.worst_db(model, tflite.open(artifact), others) >= before + gain
    assert artifact.bytes <= plain.stat().st_size * 1.02 + 1000


def test_layers_that_rounding_passes_over_are_told_with_the_reason(bench, draw):
    keras.utils.set_random_seed(5)
    image = keras.Input((8, 8, 40), name="image")
    x = L.Conv2DTranspose(4, 2, name="up")(L.Conv2D(4, 3, groups=2, name="apart")(image))
    y = L.Dense(6, name="wide")(L.Flatten()(image))
    lowering = bench.lower(
        bench.adopt(keras.Model(image, L.Concatenate(name="y")([L.Flatten()(x), y]))),
        draw(16, image=(8, 8, 40)),
    )
    bench.emit(lowering, "int8")
    layers = {op.kind: op.name for op in lowering.ops}
    skipped = {
        note.where: note.skipped for note in lowering.notes if note.method == "rounding" and note.where
    }
    assert skipped == {
        layers["TRANSPOSE_CONV"]: "transposed convolutions keep the nearest integers",
        layers["CONV_2D"]: "grouped convolutions keep the nearest integers",
        layers["FULLY_CONNECTED"]: "more than 2,304 inputs at a place would take minutes and GBs",
    }
    whole = [note.skipped for note in lowering.notes if note.skipped and not note.where]
    assert whole == [f"{why}: {name}" for name, why in skipped.items()]


def test_what_was_tried_is_told(bench, trained_like):
    made, samples, _ = trained_like
    lowering = bench.lower(bench.adopt(made), samples)
    assert lowering.notes == []
    bench.emit(lowering, "int8")
    tried = {note.method: note for note in lowering.notes if not note.where}
    assert tried["rounding"].kept
    assert all(note.after_db > note.before_db for note in tried.values() if note.kept)


def test_too_few_samples_leave_all_as_it_is(bench, draw, small_cnn):
    lowering = bench.lower(small_cnn, draw(5, image=(8, 8, 3)))
    artifact = bench.emit(lowering, "int8")
    assert artifact.main.read_bytes() == stock(lowering, Precision.INT8)
    assert [note.skipped for note in lowering.notes] == ["5 calibration samples, 8 needed"]


def test_the_same_bytes_every_time(bench, trained_like):
    made, samples, _ = trained_like
    model = bench.adopt(made)
    first, second = (bench.emit(bench.lower(model, samples), "int8").main.read_bytes() for _ in range(2))
    assert first == second


def test_an_op_that_stays_in_float_keeps_its_weights(bench, trained_like):
    made, samples, _ = trained_like
    lowering = bench.lower(bench.adopt(made), samples)
    dense = next(op for op in lowering.ops if op.kind == "FULLY_CONNECTED")
    view = ModelView(bench.emit(lowering, "int8", ops={dense.name: Precision.FLOAT32}).main.read_bytes())
    stored = next(op for op in view.ops if op.kind == "FULLY_CONNECTED")
    assert view.dtype(0, stored.inputs[1]) == "float32"
    assert len(np.unique(view.values(0, stored.inputs[1]))) > 150


def test_the_bias_of_a_channel_of_no_weight_is_not_lost(bench, draw):
    """So many of its steps are too much for an int32, and the quantizer makes nonsense of it."""
    image = keras.Input((8, 8, 3), name="image")
    inner = L.Conv2D(8, 3, activation="relu", name="inner")
    made = keras.Model(image, L.Dense(4, name="scores")(L.GlobalAveragePooling2D()(inner(image))))
    kernel, bias = inner.get_weights()
    kernel[..., :3] *= 1e-12
    bias[:3] = 1.0
    inner.set_weights([kernel, bias])
    model, samples = bench.adopt(made), draw(40, image=(8, 8, 3))
    artifact = bench.emit(bench.lower(model, samples), "int8")
    assert bench.worst_db(model, tflite.open(artifact), samples) >= 30
