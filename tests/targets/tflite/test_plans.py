"""Plans: every precision, an op in another precision than the rest, float inputs and outputs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgepack import registry
from edgepack.precision.plan import uniform_plan
from edgepack.spec import Precision
from edgepack.targets.tflite.flatbuffer import ModelView
from edgepack.targets.tflite.target import target as tflite
from edgepack.wrap import InputWrap, Wrap

L = keras.layers
LEAST_DB = {"float32": 100, "float16": 50, "int16x8": 40, "int8_dynamic": 30, "int8": 25}

OFFERED = registry.target("tflite").precisions


@pytest.fixture
def samples(draw):
    return draw(16, image=(8, 8, 3))


@pytest.mark.parametrize("precision", OFFERED)
def test_every_precision_computes_what_the_original_does(bench, small_cnn, samples, precision):
    model = bench.adopt(small_cnn)
    lowering = bench.lower(model, samples)
    plan = uniform_plan(lowering, precision, "auto")
    runner = tflite.open(bench.emit(lowering, precision, ops=plan.ops))
    assert bench.worst_db(model, runner, samples) >= LEAST_DB[precision]


def test_int8_takes_and_gives_int8_and_knows_how_they_stand_for_real_numbers(bench, small_cnn, samples):
    signature = tflite.open(bench.emit(bench.lower(small_cnn, samples))).signature
    image, classes = signature.inputs[0], signature.outputs[0]
    assert (image.dtype, classes.dtype) == ("int8", "int8")
    assert (classes.quantization.scale, classes.quantization.zero_point) == (1 / 256, -128)
    highest = max(float(sample["image"].max()) for sample in samples)
    assert image.quantization.scale * (127 - image.quantization.zero_point) == pytest.approx(highest, 0.01)


def test_float_io_keeps_them_float(bench, small_cnn, samples):
    model = bench.adopt(small_cnn)
    artifact = bench.emit(bench.lower(model, samples), io="float")
    runner = tflite.open(artifact)
    dtypes = [spec.dtype for spec in (*runner.signature.inputs, *runner.signature.outputs)]
    assert dtypes == ["float32", "float32"]
    assert tflite.audit(artifact).ops_by_precision["int8"] >= 4
    assert bench.worst_db(model, runner, samples) >= 25


def test_an_op_without_weights_that_is_to_be_float16_does_not_stay_int8(bench, small_cnn, samples):
    model = bench.adopt(small_cnn)
    lowering = bench.lower(model, samples)
    every = {op.name: Precision.FLOAT16 for op in lowering.ops}
    artifact = bench.emit(lowering, ops=every, io="float")
    assert set(tflite.audit(artifact).ops_by_precision) <= {"float16", "float32", "convert"}
    assert bench.worst_db(model, tflite.open(artifact), samples) >= LEAST_DB["float16"]


@pytest.mark.parametrize("other", ["float32", "int8_dynamic", "int16x8"])
def test_one_op_in_another_precision(bench, small_cnn, samples, other):
    model = bench.adopt(small_cnn)
    lowering = bench.lower(model, samples)
    second = [op for op in lowering.ops if op.kind == "CONV_2D"][1]
    artifact = bench.emit(lowering, ops={second.name: Precision(other)})
    precisions = {op.name: op.precision for op in tflite.audit(artifact).ops}
    assert precisions[second.name] == other
    assert list(precisions.values()).count("int8") == len(lowering.ops) - 1
    assert bench.worst_db(model, tflite.open(artifact), samples) >= 25


def test_every_op_alone_in_float(bench, small_cnn, samples):
    model = bench.adopt(small_cnn)
    lowering = bench.lower(model, samples)
    for op in lowering.ops:
        artifact = bench.emit(lowering, ops={op.name: Precision.FLOAT32})
        assert {o.name for o in tflite.audit(artifact).float_islands} == {op.name}
        assert bench.worst_db(model, tflite.open(artifact), samples) >= 25


def test_an_output_that_is_the_input_stays_so_in_every_precision(bench, draw):
    x = keras.Input((4,), name="x")
    model = bench.adopt(keras.Model(x, {"same": L.Identity()(x), "dense": L.Dense(3)(x)}))
    samples = draw(16, x=(4,))
    lowering = bench.lower(model, samples)
    for precision in OFFERED:
        runner = tflite.open(bench.emit(lowering, precision))
        assert [spec.name for spec in runner.signature.outputs] == ["same", "dense"]
        assert bench.worst_db(model, runner, samples) >= LEAST_DB[precision]


def test_two_outputs_that_are_one_tensor(bench, draw):
    x = keras.Input((4,), name="x")
    dense = L.Dense(3)(x)
    model = bench.adopt(keras.Model(x, {"first": L.Identity()(dense), "second": L.Identity()(dense)}))
    samples = draw(16, x=(4,))
    lowering = bench.lower(model, samples)
    for precision in OFFERED:
        runner = tflite.open(bench.emit(lowering, precision))
        assert bench.worst_db(model, runner, samples) >= LEAST_DB[precision]


def test_an_output_that_other_layers_read(bench, draw):
    image = keras.Input((8, 8, 3), name="image")
    features = L.Conv2D(4, 3, activation="relu")(image)
    rest = L.Dense(2, activation="softmax")(L.GlobalAveragePooling2D()(features))
    model = bench.adopt(keras.Model(image, {"features": features, "classes": rest}))
    samples = draw(16, image=(8, 8, 3))
    lowering = bench.lower(model, samples)
    for precision in OFFERED:
        runner = tflite.open(bench.emit(lowering, precision))
        assert bench.worst_db(model, runner, samples) >= LEAST_DB[precision]


def test_weights_of_an_op(bench, small_cnn, samples):
    ops = bench.lower(small_cnn, samples).ops
    convolutions = [op.weight_bytes for op in ops if op.kind == "CONV_2D"]
    assert convolutions == [4 * (3 * 3 * 3 * 8 + 8), 4 * (3 * 3 * 8 * 8 + 8)]


def test_names_of_ops_are_unique_and_stay_in_every_precision(bench, small_cnn, samples):
    lowering = bench.lower(small_cnn, samples)
    names = [op.name for op in lowering.ops]
    assert len(set(names)) == len(names)
    for precision in OFFERED:
        emitted = {op.name for op in tflite.audit(bench.emit(lowering, precision)).ops}
        assert set(names) <= emitted


def test_loops_get_int8_weights_where_the_rest_is_int8(bench, draw):
    series = keras.Input((6, 8), name="series")
    model = bench.adopt(keras.Model(series, L.Dense(2, name="y")(L.LSTM(64)(series))))
    samples = draw(16, series=(6, 8))
    lowering = bench.lower(model, samples)
    plan = uniform_plan(lowering, "int8", "auto")
    inside = {name: precision for name, precision in plan.ops.items() if precision == Precision.INT8_DYNAMIC}
    assert inside
    reasons = [op.limits["int8"] for op in lowering.ops if op.name in inside]
    assert all("inside a loop" in reason for reason in reasons)
    artifact = bench.emit(lowering, ops=plan.ops)
    assert artifact.bytes < 0.5 * bench.emit(lowering, "float32").bytes
    assert bench.worst_db(model, tflite.open(artifact), samples) >= 25


def test_a_softmax_over_many_classes_stays_float(bench, draw):
    """Its int8 form answers in steps of 1/256: of 500 even classes nothing would be left."""
    x = keras.Input((16,), name="x")
    model = bench.adopt(keras.Model(x, L.Dense(500, activation="softmax", name="p")(x)))
    samples = draw(16, x=(16,))
    lowering = bench.lower(model, samples)
    plan = uniform_plan(lowering, "int8", "auto")
    (softmax,) = [op for op in lowering.ops if op.kind == "SOFTMAX"]
    assert plan.ops[softmax.name] == Precision.FLOAT32
    assert "steps of 1/256" in softmax.limits["int8"]
    runner = tflite.open(bench.emit(lowering, ops=plan.ops))
    assert bench.worst_db(model, runner, samples) >= 20


def test_a_bounded_relu_whose_values_are_all_tiny(bench, draw):
    """RELU6's bound in steps of the output's scale has to fit an int32, or LiteRT does not load the file."""
    image = keras.Input((8, 8, 3), name="image")
    tiny = keras.initializers.RandomNormal(stddev=1e-9)
    x = tf.keras.layers.ReLU(6.0)(L.Conv2D(4, 3, kernel_initializer=tiny)(image))
    model = bench.adopt(keras.Model(image, L.Add(name="y")([L.Flatten()(x), L.Flatten()(x)])))
    samples = draw(16, image=(8, 8, 3))
    lowering = bench.lower(model, samples)
    for precision in ("int8", "int16x8"):
        runner = tflite.open(bench.emit(lowering, precision))
        assert np.isfinite(runner(samples[0])["y"]).all()


def test_sums_whose_ranges_are_powers_of_two_load_in_int16(bench, draw):
    """x / 127.5 - 1: LiteRT has a kernel of its own for scales that are powers of two, and it wants more of them."""
    image = keras.Input((8, 8, 3), name="image")
    x = L.Rescaling(1 / 127.5, offset=-1.0)(image)
    model = bench.adopt(keras.Model(image, L.Dense(3, name="y")(L.Flatten()(L.Subtract()([x, L.ReLU()(x)])))))
    rng = np.random.default_rng(0)
    samples = [{"image": rng.integers(0, 256, (1, 8, 8, 3)).astype(np.float32)} for _ in range(16)]
    runner = tflite.open(bench.emit(bench.lower(model, samples), "int16x8"))
    assert bench.worst_db(model, runner, samples) >= 40


def test_pixels_in_front_of_a_quantized_network(bench, small_cnn):
    """Pixels in, the scaling in the graph: the input's scale is exactly one."""
    wrap = Wrap((("image", InputWrap(kind="image", scale=(1 / 127.5,), offset=(-1.0,))),))
    rng = np.random.default_rng(0)
    samples = [{"image": rng.integers(0, 256, (1, 8, 8, 3)).astype(np.float32)} for _ in range(16)]
    model = bench.adopt(small_cnn, wrap=wrap)
    runner = tflite.open(bench.emit(bench.lower(model, samples)))
    (image,) = runner.signature.inputs
    assert (image.quantization.scale, image.quantization.zero_point) == (1.0, -128)
    assert bench.worst_db(model, runner, samples) >= 25


def test_what_has_a_known_range_has_exactly_that(bench, draw):
    """Their kernels demand it: 0..255/256 of a softmax and a sigmoid, -1..127/128 of a hyperbolic tangent."""
    features = keras.Input((8,), name="features")
    x = keras.layers.Dense(6, activation="tanh")(keras.layers.Dense(6, activation="sigmoid")(features))
    made = keras.Model(features, keras.layers.Dense(3, activation="softmax", name="classes")(x))
    artifact = bench.emit(bench.lower(made, draw(24, features=(8,))), "int8")
    view = ModelView(artifact.main.read_bytes())
    found = {op.kind: view.tensor(0, op.outputs[0]).quantization for op in view.ops}
    known = {"SOFTMAX": (1 / 256, -128), "LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
    assert {
        kind: (each.scale[0], each.zeroPoint[0]) for kind, each in found.items() if kind in known
    } == known
