"""Graphs of TensorFlow's that are made smaller: constants as layers, what they are fed with, and a graph again."""

import keras
import numpy as np
import pytest
import small_keras
import tensorflow as tf

from edgepack.compress import closed_form, cluster
from edgepack.compress.closed_form import Amount
from edgepack.errors import ModelError
from edgepack.events import Step

L = keras.layers
RNG = np.random.default_rng(0)


def images(count=8):
    return [{"image": RNG.normal(size=(1, 12, 10, 3)).astype(np.float32)} for _ in range(count)]


def sequences(count=8):
    return [{"ids": RNG.integers(0, 20, (1, 9)).astype(np.int32)} for _ in range(count)]


@pytest.fixture
def network(bench):
    """A SavedModel whose batch is open."""
    small_keras.convolutions().export(bench.folder / "saved", verbose=False)
    return bench.load(bench.folder / "saved")


@pytest.fixture
def sequence(bench):
    """A tf.Module with a loop in it."""
    keras.utils.set_random_seed(2)
    ids = x = keras.Input((9,), dtype="int32", name="ids")
    x = L.Embedding(20, 8, name="words")(x)
    x = L.Bidirectional(L.LSTM(6, name="steps"))(x + L.MultiHeadAttention(2, 3, name="attend")(x, x))
    return bench.adopt(Calls(keras.Model(ids, L.Dense(3, name="head")(x))))


class Calls(tf.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    @tf.function(input_signature=[tf.TensorSpec([1, 9], tf.int32, name="ids")])
    def __call__(self, ids):
        return self.model(ids)


@pytest.fixture
def module(bench):
    """A tf.Module with one size of batch, in constants and variables."""

    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.first = tf.Variable(RNG.normal(size=(6, 8)).astype(np.float32))

        @tf.function(input_signature=[tf.TensorSpec([1, 6], tf.float32, name="x")])
        def __call__(self, x):
            x = tf.tanh(x @ self.first + BIAS)
            x = tf.tanh(tf.linalg.matmul(x, SECOND, transpose_b=True))
            return {"y": x @ THIRD, "z": tf.einsum("ab,bc->ac", x, FOURTH)}

    return bench.adopt(Module())


BIAS = np.ones(8, np.float32)
SECOND, THIRD, FOURTH = (RNG.normal(size=size).astype(np.float32) for size in ((7, 8), (7, 3), (7, 4)))


def told(model):
    return [(each.kind, each.shape, each.has_bias, each.places) for each in model.student().layers]


def test_layers_are_the_constants_that_multiply_in_that_order(network):
    assert network.student().layers[0].name.endswith("/stem_1/convolution")
    assert told(network) == [
        ("conv", (8, 27), False, 120),
        ("depthwise", (8, 9), False, 80),
        ("conv", (12, 72), True, 20),
        ("conv", (10, 24), True, 16),  # its dilation is made of batches, which are padded
        ("conv", (10, 30), True, 8),
        ("linear", (5, 10), True, 1),
    ]


def test_weights_in_loops_and_tables_are_seen_without_inputs(sequence):
    found = [(kind, shape, places) for kind, shape, _, places in told(sequence)]
    assert found[0] == ("weights", (1, 160), 0)
    assert found[-1] == ("linear", (3, 12), 1)
    attention = [("weights", (3, 16), 9)] * 3 + [("weights", (8, 6), 9)]
    steps = [("weights", (24, 8), 9), ("weights", (24, 6), 9)] * 2
    assert sorted(found[1:-1]) == sorted(attention + steps)


def test_a_module_s_own_constants_are_its_weights(module):
    assert told(module) == [
        ("linear", (8, 6), True, 1),
        ("linear", (7, 8), False, 1),
        ("linear", (3, 7), False, 1),
        ("weights", (4, 7), False, 1),
    ]


def test_moments_are_those_of_what_the_weights_multiply(network):
    student, fed = network.student(), images(20)
    chosen = [layer for layer in student.layers if layer.has_inputs]
    found = student.moments([layer.name for layer in chosen], fed)
    for layer in chosen:
        (op,) = student._ops(layer.name)
        fetched = student._fetching([op.outputs[0]])
        given = np.concatenate([fetched(tf.constant(each["image"]))[0] for each in fed])
        places = given.reshape(-1, layer.shape[0]).astype(np.float64)
        weight, moments = student.weight(layer.name), found[layer.name]
        assert moments.count == len(places)
        np.testing.assert_allclose(weight @ moments.mean, places.mean(0), atol=1e-5)
        np.testing.assert_allclose(
            weight @ moments.gram @ weight.T, places.T @ places / len(places), atol=1e-4
        )


@pytest.mark.parametrize(("source", "draw"), [("network", images), ("sequence", sequences), ("module", None)])
def test_graphs_are_made_smaller_and_are_graphs_again(source, draw, request, tmp_path):
    model = request.getfixturevalue(source)
    fed = draw() if draw else [{"x": RNG.normal(size=(1, 6)).astype(np.float32)} for _ in range(8)]
    student, before = model.student(), model(fed[0])
    chosen = [layer for layer in student.layers if layer.kind != "depthwise"][1:]
    holds = closed_form.shrink(student, dict.fromkeys(chosen, Amount(0.5, 16)), fed, Step("compress"))
    student.hold(holds)
    losses = [student.learn(fed, 0.1) for _ in range(20)]
    assert min(losses) < 0.97 * losses[0]
    student.save(tmp_path / "state")
    now = student(fed[0])
    student.learn(fed, 1e-2)
    student.restore(tmp_path / "state")
    student.release()
    closed_form.reach(student, holds)
    for layer in chosen:
        weight = student.weight(layer.name)
        assert (weight == 0).sum() == round(0.5 * weight.size)
        assert cluster.distinct(weight) <= 16
    made = student.model()
    for name, values in student(fed[0]).items():
        np.testing.assert_allclose(made(fed[0])[name], values, atol=1e-5)
        assert np.abs(values - now[name]).max() < np.abs(values - before[name]).max()
        np.testing.assert_array_equal(model(fed[0])[name], before[name])
        np.testing.assert_allclose(student.teach(fed[0])[name], before[name], atol=1e-5)


def test_an_open_batch_has_the_same_weights(network):
    student, (fed,) = network.student(), images(1)
    name = student.layers[-1].name
    student.change(name, 2 * student.weight(name), np.ones(5, np.float32))
    (opened,) = student.model().form("tf").open_batch().concrete(tf.constant(np.repeat(fed["image"], 3, 0)))
    np.testing.assert_allclose(opened[2], next(iter(student(fed).values()))[0], atol=1e-5)


def test_a_graph_without_weights_is_refused(bench):
    class Doubles(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")])
        def __call__(self, x):
            return 2 * x

    with pytest.raises(ModelError, match="no weights"):
        bench.adopt(Doubles()).student()


def test_which_way_a_class_is_probable_is_the_teacher_s(network):
    student, fed = network.student(), images(2)
    name = network.signature.outputs[0].name
    gradients = [each["image"] for each in student.towards(fed, name, [3, 1])]
    for each, gradient, wanted in zip(fed, gradients, [3, 1], strict=True):
        step = 1e-2 * gradient / np.sqrt(np.sum(gradient**2))
        ends = [student.teach({"image": each["image"] + sign * step})[name][0, wanted] for sign in (1, -1)]
        slope = np.log(ends[0]) - np.log(ends[1])
        assert slope == pytest.approx(2e-2 * np.sqrt(np.sum(gradient**2)), rel=0.05)
