"""Input normalisation that the first convolution takes up: the float file computes the same, and int8 is fed pixels as they are."""

import keras
import numpy as np
import pytest

from edgepack.precision.plan import uniform_plan
from edgepack.spec import Precision
from edgepack.targets.tflite.flatbuffer import ModelView
from edgepack.targets.tflite.improve import _open as opened
from edgepack.targets.tflite.inputs import folded
from edgepack.targets.tflite.target import target as tflite
from edgepack.wrap import InputWrap, Wrap

L = keras.layers

HALVES = {"scale": (1 / 127.5,), "offset": (-1.0,)}
MEAN = {"mean": (127.0,), "std": (128.0,)}
BY_CHANNEL = {"scale": (1 / 255,), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def network(padding="same", strides=1, before=lambda x: x, after=lambda image, x: x):
    keras.utils.set_random_seed(5)
    image = keras.Input((12, 12, 3), name="image")
    x = L.Conv2D(8, 3, strides=strides, padding=padding, activation="relu", name="stem")(before(image))
    x = after(image, x)
    return keras.Model(image, L.Dense(4, name="scores")(L.GlobalAveragePooling2D()(x)))


def pixels(count):
    small = np.random.default_rng(3).integers(0, 256, size=(count, 3, 3, 3)).astype(np.float32)
    return [{"image": picture[None]} for picture in small.repeat(4, axis=1).repeat(4, axis=2)]


@pytest.fixture
def lowered(bench):
    def lower(made, steps):
        model = bench.adopt(made, wrap=Wrap((("image", InputWrap(kind="image", **steps)),)))
        return model, bench.lower(model, pixels(40))

    return lower


def kinds(data):
    return [op.kind for op in ModelView(data).ops]


@pytest.mark.parametrize(
    ("steps", "made", "expected"),
    [
        (HALVES, network(), ["PADV2", "CONV_2D"]),
        (MEAN, network(strides=2), ["PADV2", "CONV_2D"]),
        (MEAN, network("valid", before=L.ZeroPadding2D(1)), ["PADV2", "CONV_2D"]),
        (BY_CHANNEL, network("valid"), ["CONV_2D", "MEAN"]),
    ],
    ids=["a border", "an uneven border", "a border of its own", "none"],
)
def test_the_file_computes_the_same_without_them(steps, made, expected, lowered):
    _, lowering = lowered(made, steps)
    found = folded(lowering._float32, lowering._ranges)
    assert kinds(lowering._float32)[:2] == ["MUL", "ADD"]
    assert kinds(found.data)[:2] == expected
    assert len(found.weights) == 1
    before, after = opened(lowering._float32), opened(found.data)
    for sample in pixels(5):
        assert np.allclose(before(sample)["scores"], after(sample)["scores"], atol=1e-4)


def joined(image, x):
    return L.Concatenate()([x, L.Rescaling(1 / 255, -0.5)(image)])


@pytest.mark.parametrize(
    ("steps", "made"),
    [
        (BY_CHANNEL, network()),
        ({"scale": (0.01,), "offset": (0.3,)}, network()),
        ({}, network(before=lambda x: L.ReLU()(L.Rescaling(1 / 127.5, -1)(x)))),
        ({}, network(before=lambda x: L.Rescaling(1 / 127.5, -1)(x), after=joined)),
    ],
    ids=["each channel its own border", "zero is no pixel", "a curve between", "the input is read twice"],
)
def test_what_cannot_be_taken_up_stays(steps, made, lowered):
    _, lowering = lowered(made, steps)
    assert folded(lowering._float32, lowering._ranges) is None


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
