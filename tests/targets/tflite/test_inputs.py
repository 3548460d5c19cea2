"""Input normalisation that the first convolution takes up: the float file computes the same, and int8 is fed pixels as they are."""

import keras
import numpy as np
import pytest

from edgepack.precision.plan import uniform_plan
from edgepack.spec import Precision
from edgepack.targets.tflite.flatbuffer import ModelView, per_tensor_quantization
from edgepack.targets.tflite.improve import _open as opened
from edgepack.targets.tflite.inputs import folded
from edgepack.targets.tflite.target import target as tflite
from edgepack.wrap import InputWrap, Wrap

L = keras.layers

MEAN = {"mean": (127.0,), "std": (128.0,)}
BY_CHANNEL = {"scale": (1 / 255,), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def network(padding="same", strides=1, before=lambda x: x, after=lambda image, x: x):
    keras.utils.set_random_seed(5)
    image = keras.Input((12, 12, 3), name="image")
    x = L.Conv2D(8, 3, strides=strides, padding=padding, activation="relu", name="stem")(before(image))
    x = after(image, x)
    return keras.Model(image, L.Dense(4, name="scores")(L.GlobalAveragePooling2D()(x)))


def pixels(count):
    small = np.random.default_rng(3).integers(30, 201, size=(count, 3, 3, 3)).astype(np.float32)
    return [{"image": picture[None]} for picture in small.repeat(4, axis=1).repeat(4, axis=2)]


@pytest.fixture
def lowered(bench):
    def lower(made, steps):
        model = bench.adopt(made, wrap=Wrap((("image", InputWrap(kind="image", **steps)),)))
        return model, bench.lower(model, pixels(40))

    return lower


def kinds(data):
    return [op.kind for op in ModelView(data).ops]


def test_a_convolution_without_a_border_takes_them_up(lowered):
    _, lowering = lowered(network("valid"), BY_CHANNEL)
    data, weights = folded(lowering._float32)
    assert kinds(lowering._float32)[:3] == ["MUL", "ADD", "CONV_2D"]
    assert kinds(data)[:2] == ["CONV_2D", "MEAN"]
    assert len(weights) == 1
    before, after = opened(lowering._float32), opened(data)
    for sample in pixels(5):
        assert np.allclose(before(sample)["scores"], after(sample)["scores"], atol=1e-4)


def joined(image, x):
    return L.Concatenate()([x, L.Rescaling(1 / 255, -0.5)(image)[:, 1:-1, 1:-1]])


@pytest.mark.parametrize(
    ("steps", "made"),
    [
        (MEAN, network()),
        ({}, network("valid", before=lambda x: L.ReLU()(L.Rescaling(1 / 127.5, -1)(x)))),
        ({}, network("valid", before=lambda x: L.Rescaling([1.0, 2.0, 3.0], -1)(x), after=joined)),
    ],
    ids=["a border of zeros", "a curve between", "the input is read twice"],
)
def test_what_cannot_be_taken_up_stays(steps, made, lowered):
    _, lowering = lowered(made, steps)
    assert folded(lowering._float32) == (lowering._float32, [])


def test_pixels_that_calibration_did_not_see_are_told_apart_too(bench, lowered):
    """The sum's integers are the pixels', moved by the mean, from 0 to 255; these samples end at 200."""
    _, lowering = lowered(network(), MEAN)
    view = ModelView(bench.emit(lowering, "int8", plain=True).main.read_bytes())
    product, total, *_ = view.ops
    assert (product.kind, total.kind) == ("MUL", "ADD")
    found = per_tensor_quantization(view.tensor(0, total.outputs[0]))
    assert (found.scale, found.zero_point) == (pytest.approx(1 / 128), -1)
    found = per_tensor_quantization(view.tensor(0, product.outputs[0]))
    assert (found.scale, found.zero_point) == (pytest.approx(1 / 128), -128)


def test_int8_is_fed_pixels_as_they_are_and_loses_nothing_by_it(bench, lowered):
    model, lowering = lowered(network("valid"), BY_CHANNEL)
    plain = bench.emit(lowering, "int8", ops=uniform_plan(lowering, Precision.INT8, "auto").ops, plain=True)
    before = bench.worst_db(model, tflite.open(plain), pixels(60)[40:])
    artifact = bench.emit(lowering, "int8")
    assert {note.method: note.kept for note in lowering.notes}["input"]
    runner = tflite.open(artifact)
    (spec,) = runner.signature.inputs
    assert (spec.quantization.scale, spec.quantization.zero_point) == (1, -128)
    assert tflite.audit(artifact).ops[0].kind == "CONV_2D"
    assert bench.worst_db(model, runner, pixels(60)[40:]) > before
