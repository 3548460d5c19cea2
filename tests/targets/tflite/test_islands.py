"""Ops that the quantizer leaves in float although LiteRT has an int8 kernel: made int8, one test for each of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from edgepack import parity
from edgepack.precision.plan import uniform_plan
from edgepack.targets.tflite.convert import convert
from edgepack.targets.tflite.flatbuffer import ModelView, write
from edgepack.targets.tflite.islands import ABSORBED, INDEX
from edgepack.targets.tflite.lowering import TFLiteLowering
from edgepack.targets.tflite.target import target as tflite

L = keras.layers


MIDDLE = {
    "LEAKY_RELU": L.LeakyReLU(0.2),
    "PRELU": L.PReLU(shared_axes=[1, 2], alpha_initializer=keras.initializers.RandomUniform(-0.3, 0.6, 3)),
    "ELU": L.ELU(),
    "RELU6": lambda x: tf.nn.relu6(tf.nn.leaky_relu(8 * x, 0.5)[:, ::-1]),
    "RELU_N1_TO_1": lambda x: tf.clip_by_value(tf.nn.leaky_relu(x, 0.5)[:, ::-1], -1, 1),
    "EXPAND_DIMS": lambda x: tf.expand_dims(x, 1),
    "SQUEEZE": lambda x: tf.squeeze(tf.nn.max_pool2d(x, [8, 1], 1, "VALID"), [1])[:, ::-1],
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


def in_place_of_reshape(data, kind):
    """The converter writes RESHAPE wherever shapes are known; other converters write EXPAND_DIMS and SQUEEZE."""
    view = ModelView(data)
    graph, code = view.model.subgraphs[0], getattr(schema.BuiltinOperator, kind)
    for each in view.model.operatorCodes:
        if each.builtinCode == schema.BuiltinOperator.RESHAPE:
            each.builtinCode = each.deprecatedBuiltinCode = code
    for operator in graph.operators:
        if view.kind(operator) == "RESHAPE" and kind == "SQUEEZE":
            operator.inputs = operator.inputs[:1]
            operator.builtinOptionsType = schema.BuiltinOptions.SqueezeOptions
            operator.builtinOptions = schema.SqueezeOptionsT()
            operator.builtinOptions.squeezeDims = [1]
        elif view.kind(operator) == "RESHAPE":
            operator.builtinOptionsType, operator.builtinOptions = 0, None
            axis = graph.tensors[operator.inputs[1]]
            axis.shape = np.array([1], np.int32)
            view.model.buffers[axis.buffer].data = np.array([1], np.int32).view(np.uint8)
    return write(view.model)


@pytest.mark.parametrize("kind", ABSORBED)
def test_the_island_is_gone_and_the_answer_stays(bench, draw, kind):
    keras.utils.set_random_seed(3)
    samples = draw(16, image=(8, 8, 3))
    model = bench.adopt(between_layers(kind))
    data = convert(model.form("tf"))
    data = in_place_of_reshape(data, kind) if kind in ("EXPAND_DIMS", "SQUEEZE") else data
    lowering = TFLiteLowering(data, model.signature, samples)
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


def test_one_after_the_other(bench, draw):
    """Islands that touch: the DEQUANTIZE between them goes too."""
    image = keras.Input(batch_shape=(1, 8, 8, 3), name="image")
    x = L.LeakyReLU(0.2)(L.Conv2D(4, 3, padding="same")(image))
    x = L.ELU()(Middle(lambda x: tf.tile(x, [1, 2, 1, 1]))(x))
    x = Middle(lambda x: tf.reduce_max(tf.reverse(x, [1]), [1]))(x)
    model = bench.adopt(keras.Model(image, L.Dense(3, name="y")(x)))
    samples = draw(16, image=(8, 8, 3))
    artifact = bench.emit(bench.lower(model, samples))
    audit = tflite.audit(artifact)
    assert audit.full_int8
    assert [op.kind for op in audit.ops if op.precision == "convert"] in ([], ["QUANTIZE"])
    assert bench.worst_db(model, tflite.open(artifact), samples) >= 25


def test_an_island_that_feeds_two(bench, draw):
    """One reader is int8, the other float: both get what they read."""
    image = keras.Input(batch_shape=(1, 8, 8, 3), name="image")
    x = L.LeakyReLU(0.2)(L.Conv2D(4, 3, padding="same")(image))
    made = keras.Model(
        image,
        {"dense": L.Dense(3)(x), "floor": Middle(lambda x: tf.round(x * 4) / 4)(x), "leaky": L.Identity()(x)},
    )
    model = bench.adopt(made)
    samples = draw(16, image=(8, 8, 3))
    lowering = bench.lower(model, samples)
    plan = uniform_plan(lowering, "int8", "auto")
    runner = tflite.open(bench.emit(lowering, ops=plan.ops))
    metrics = parity.measure(runner, samples, [model(sample) for sample in samples])
    assert metrics["dense"].sqnr_db >= 25
    assert metrics["leaky"].sqnr_db >= 25


@pytest.mark.parametrize("kind", ["LEAKY_RELU", "ELU", "REVERSE_V2", "TILE", "REDUCE_MAX"])
def test_an_island_that_is_an_output_or_reads_the_input(bench, draw, kind):
    middles = {"LEAKY_RELU": tf.nn.leaky_relu, "ELU": tf.nn.elu}
    middle = middles.get(kind, MIDDLE[kind])
    image = keras.Input(batch_shape=(1, 8, 8, 3), name="image")
    first = Middle(middle)(image)
    second = L.Conv2D(4, 3, padding="same")(image)
    second = (
        middle.from_config(middle.get_config())(second)
        if isinstance(middle, L.Layer)
        else Middle(middle)(second)
    )
    model = bench.adopt(keras.Model(image, {"first": first, "second": second}))
    samples = draw(16, image=(8, 8, 3))
    artifact = bench.emit(bench.lower(model, samples))
    runner = tflite.open(artifact)
    assert [spec.name for spec in runner.signature.outputs] == ["first", "second"]
    assert tflite.audit(artifact).full_int8
    assert bench.worst_db(model, runner, samples) >= 25


def test_a_slope_of_prelu_that_two_layers_share(bench, draw):
    shared = L.PReLU(shared_axes=[1, 2], alpha_initializer=keras.initializers.Constant(0.3))
    image = keras.Input(batch_shape=(1, 8, 8, 3), name="image")
    x = shared(L.Conv2D(4, 3, padding="same")(image))
    x = shared(L.Conv2D(4, 3, padding="same")(x))
    model = bench.adopt(keras.Model(image, L.Dense(3, name="y")(x)))
    samples = draw(16, image=(8, 8, 3))
    artifact = bench.emit(bench.lower(model, samples))
    assert tflite.audit(artifact).full_int8
    assert bench.worst_db(model, tflite.open(artifact), samples) >= 25


def test_an_op_without_an_int8_kernel_stays_an_island_with_its_reason(bench, draw):
    image = keras.Input(batch_shape=(1, 8, 8, 3), name="image")
    x = L.Conv2D(4, 3, padding="same", name="before")(image)
    x = Middle(lambda x: tf.sin(x), name="wave")(x)
    model = bench.adopt(keras.Model(image, L.Dense(3, name="y")(x)))
    samples = draw(16, image=(8, 8, 3))
    lowering = bench.lower(model, samples)
    plan = uniform_plan(lowering, "int8", "auto")
    (sine,) = [op for op in lowering.ops if op.kind == "SIN"]
    assert plan.ops[sine.name] == "float32"
    assert "no int8 form of SIN" in sine.limits["int8"]
    artifact = bench.emit(lowering, ops=plan.ops)
    audit = tflite.audit(artifact)
    assert [(op.kind, bool(op.reason)) for op in audit.float_islands] == [("SIN", True)]
    assert not audit.full_int8
    assert bench.worst_db(model, tflite.open(artifact), samples) >= 25


@pytest.mark.parametrize("kind", ["LEAKY_RELU", "REVERSE_V2"])
def test_other_precisions_leave_the_islands_as_they_are(bench, draw, kind):
    model = bench.adopt(between_layers(kind))
    samples = draw(16, image=(8, 8, 3))
    lowering = bench.lower(model, samples)
    plan = uniform_plan(lowering, "int16x8", "auto")
    runner = tflite.open(bench.emit(lowering, "int16x8", ops=plan.ops))
    assert bench.worst_db(model, runner, samples) >= 35
