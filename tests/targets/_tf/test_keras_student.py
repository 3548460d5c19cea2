"""A Keras model that is made smaller: what its layers are fed with, and what learning leaves alone."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgepack.compress import closed_form, cluster
from edgepack.compress.closed_form import Amount
from edgepack.compress.student import Hold
from edgepack.errors import ModelError
from edgepack.events import Step
from edgepack.wrap import InputWrap, Wrap

L = keras.layers
RNG = np.random.default_rng(0)
SCALED = Wrap((("image", InputWrap(kind="image", scale=(1 / 255,))),))


def images(count=6):
    return [{"image": RNG.uniform(0, 255, (1, 12, 10, 3)).astype(np.float32)} for _ in range(count)]


@pytest.fixture
def model(bench):
    keras.utils.set_random_seed(1)
    image = x = keras.Input((12, 10, 3), name="image")
    x = L.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(x)
    x = L.ReLU()(L.BatchNormalization()(x))
    x = L.DepthwiseConv2D(3, name="deep")(x)
    x = L.Conv2D(12, 3, strides=2, padding="same", activation="relu", name="wide")(x)
    x = L.Conv2D(10, (2, 1), dilation_rate=2, activation="relu", name="odd")(x)
    x = L.Dense(5, activation="softmax", name="head")(L.GlobalAveragePooling2D()(x))
    return bench.adopt(keras.Model(image, x), wrap=SCALED)


def answer(asked, fed):
    return asked(fed)["head"]


def test_layers_are_those_that_compute_in_that_order(model):
    layers = model.student().layers
    assert [(each.name, each.kind, each.shape, each.has_bias, each.places) for each in layers] == [
        ("stem", "conv", (8, 27), False, 120),
        ("deep", "depthwise", (8, 9), True, 80),
        ("wide", "conv", (12, 72), True, 20),
        ("odd", "conv", (10, 24), True, 12),
        ("head", "linear", (5, 10), True, 1),
    ]


def test_weights_are_set_as_they_are_told(model):
    student, (fed,) = model.student(), images(1)
    before = answer(student, fed)
    for layer in student.layers:
        student.change(layer.name, student.weight(layer.name))
    np.testing.assert_array_equal(answer(student, fed), before)
    student.change("odd", 2 * student.weight("odd"), np.ones(10, np.float32))
    assert not np.allclose(answer(student, fed), before)
    np.testing.assert_allclose(student.teach(fed)["head"], before, atol=1e-6)
    np.testing.assert_allclose(answer(student.model(), fed), answer(student, fed), atol=1e-6)


@pytest.mark.parametrize("name", ["stem", "wide", "odd", "head"])
def test_moments_are_those_of_what_the_weights_multiply(model, name):
    student, fed = model.student(), images()
    found = student.moments([name], fed)[name]
    layer = student._found[name]
    inside = keras.Model(student._model.inputs, [layer.input, layer.output])
    layer.activation = keras.activations.linear
    shown = [inside(each["image"] / 255) for each in fed]
    places = np.concatenate([np.reshape(output, (-1, output.shape[-1])) for _, output in shown])
    places = places - (layer.bias.numpy() if layer.use_bias else 0)
    weight = student.weight(name)
    assert found.count == len(places)
    np.testing.assert_allclose(weight @ found.mean, places.mean(0), atol=1e-5)
    np.testing.assert_allclose(weight @ found.gram @ weight.T, places.T @ places / len(places), atol=1e-4)


def loops():
    """A layer that computes twice, after and before others."""
    inner = L.Dense(6, activation="tanh", name="inner")
    x = image = keras.Input((4,), name="x")
    x = inner(inner(L.Dense(6, activation="relu", name="first")(x)))
    return keras.Model(image, L.Dense(3, name="last")(x))


def test_a_walk_gives_moments_of_what_changed_layers_feed(model, bench):
    vectors = [{"x": RNG.normal(size=(1, 4)).astype(np.float32)} for _ in range(20)]
    for student, fed in ((model.student(), images(20)), (bench.adopt(loops()).student(), vectors)):
        names = [each.name for each in student.layers if each.kind != "depthwise"]
        walked = []
        for layer, found in student.walk(names, fed):
            wanted = student.moments([layer], fed)[layer]
            assert found.count == wanted.count
            for own, other in zip(vars(found).values(), vars(wanted).values(), strict=True):
                np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-6)
            student.change(layer, 0.5 * student.weight(layer))
            walked.append(layer)
        assert walked == names


def test_learning_comes_closer_and_keeps_zeros_and_codes(model, tmp_path: Path):
    student, fed = model.student(), images(24)
    chosen = [layer for layer in student.layers if layer.kind != "depthwise"][1:]
    amounts = {chosen[0]: Amount(0.5), chosen[1]: Amount(0.4, 6), chosen[2]: Amount(0, 5)}
    holds = closed_form.shrink(student, amounts, fed, Step("compress"))
    zeros = {layer.name: student.weight(layer.name) == 0 for layer in chosen}
    assert [int(each.sum()) for each in zeros.values()] == [432, 96, 0]
    student.hold(holds)
    losses = [student.learn(fed, 0.1) for _ in range(30)]
    assert min(losses) < 0.95 * losses[0]
    student.save(tmp_path / "state")
    before = answer(student, fed[0])
    student.learn(fed, 1.0)
    student.restore(tmp_path / "state")
    np.testing.assert_array_equal(answer(student, fed[0]), before)
    student.release()
    closed_form.reach(student, holds)
    for layer, amount in amounts.items():
        weight = student.weight(layer.name)
        if amount.ratio:
            np.testing.assert_array_equal(weight == 0, zeros[layer.name])
        if amount.codes:
            assert cluster.distinct(weight) <= amount.codes
    frozen = student.model().form("tf").concrete
    np.testing.assert_allclose(frozen(tf.constant(fed[0]["image"]))[0], answer(student, fed[0]), atol=1e-5)


def test_a_rate_is_relative_to_what_is_moved(model):
    student = model.student()
    student.change("head", 100 * student.weight("head"))
    student.hold({"wide": Hold(np.ones((12, 72), bool))})
    before = {name: student.weight(name) for name in ("head", "wide")}
    student.learn(images(4), 1e-3)
    relative = [
        np.abs(student.weight(name) - weight).max() / np.sqrt(np.mean(weight**2)) * np.sqrt(weight.shape[1])
        for name, weight in before.items()
    ]
    assert relative[0] == pytest.approx(relative[1], rel=0.05)
    assert 0 < relative[0] < 1e-3


def test_a_signal_by_causal_convolutions(bench):
    made = keras.Sequential(
        [
            keras.Input((20, 2), name="sound"),
            L.Conv1D(6, 3, dilation_rate=2, padding="causal", name="first"),
            L.GlobalAveragePooling1D(),
            L.Dense(3, name="out"),
        ]
    )
    student = bench.adopt(made).student()
    fed = [{"sound": RNG.normal(size=(1, 20, 2)).astype(np.float32)} for _ in range(4)]
    found = student.moments(["first"], fed)["first"]
    outputs = np.concatenate([made.layers[0](each["sound"]).numpy()[0] for each in fed])
    np.testing.assert_allclose(student.weight("first") @ found.mean, outputs.mean(0), atol=1e-5)


def test_a_module_of_tensorflow_has_no_layers(bench):
    class Doubles(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")])
        def __call__(self, x):
            return 2 * x

    with pytest.raises(ModelError, match="no layers"):
        bench.adopt(Doubles()).student()
