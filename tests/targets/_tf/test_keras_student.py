"""A Keras model that is made smaller: what its layers are fed with, and what learning leaves alone."""

from pathlib import Path

import keras
import numpy as np
import pytest
import small_keras
import tensorflow as tf

from edgepack.compress import closed_form, cluster, low_rank
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
    return bench.adopt(small_keras.convolutions(), wrap=SCALED)


def answer(asked, fed):
    return asked(fed)["head"]


def test_layers_are_those_that_compute_in_that_order(model):
    layers = model.student().layers
    assert [(each.name, each.kind, each.shape, each.has_bias, each.places) for each in layers] == [
        ("stem", "conv", (8, 27), False, 120),
        ("deep", "depthwise", (8, 9), True, 80),
        ("wide", "conv", (12, 72), True, 20),
        ("odd", "conv", (10, 24), True, 12),
        ("line", "conv", (10, 30), True, 8),
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
    layer = student._found[name].layer
    inside = keras.Model(student._function.keep.inputs, [layer.input, layer.output])
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
    assert [int(each.sum()) for each in zeros.values()] == [432, 96, 0, 0]
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


def sequences(count=6):
    return [{"ids": RNG.integers(0, 20, (1, 9)).astype(np.int32)} for _ in range(count)]


@pytest.fixture
def sequence(bench):
    keras.utils.set_random_seed(2)
    ids = x = keras.Input((9,), dtype="int32", name="ids")
    x = L.Embedding(20, 8, name="words")(x)
    x = L.LayerNormalization()(x + L.MultiHeadAttention(2, 3, name="attend")(x, x))
    x = L.Bidirectional(L.LSTM(6, return_sequences=True, name="steps"), name="both")(x)
    x = L.TimeDistributed(L.Dense(5, name="each"))(x)
    x = L.Conv1DTranspose(4, 3, name="up")(L.GRU(7, return_sequences=True, name="gates")(x))
    x = L.SeparableConv1D(6, 3, name="apart")(x)
    return bench.adopt(keras.Model(ids, L.Dense(3, name="head")(L.Flatten()(x))))


def test_weights_that_no_plain_layer_holds_are_seen_too(sequence):
    layers = sequence.student().layers
    assert [
        (each.name.split("/")[-2:], each.kind, each.shape, each.has_bias, each.places) for each in layers
    ] == [
        (["words", "embeddings"], "weights", (1, 160), False, 0),
        (["query"], "linear", (6, 8), True, 9),
        (["key"], "linear", (6, 8), True, 9),
        (["value"], "linear", (6, 8), True, 9),
        (["attention_output"], "linear", (8, 6), True, 9),
        (["lstm_cell", "kernel"], "weights", (24, 8), False, 9),
        (["lstm_cell", "recurrent_kernel"], "weights", (24, 6), False, 9),
        (["lstm_cell", "kernel"], "weights", (24, 8), False, 9),
        (["lstm_cell", "recurrent_kernel"], "weights", (24, 6), False, 9),
        (["each"], "linear", (5, 12), True, 9),
        (["gru_cell", "kernel"], "weights", (21, 5), False, 9),
        (["gru_cell", "recurrent_kernel"], "weights", (21, 7), False, 9),
        (["up", "kernel"], "weights", (4, 21), False, 9),
        (["apart", "depthwise_kernel"], "depthwise", (4, 3), False, 9),
        (["apart", "pointwise_kernel"], "weights", (6, 4), False, 9),
        (["head"], "linear", (3, 54), True, 1),
    ]
    assert len({each.name for each in layers}) == len(layers)


def test_a_cell_multiplies_at_every_step_of_whatever_loops(bench):
    series = x = keras.Input((6, 5), name="series")
    x = L.RNN(L.StackedRNNCells([L.LSTMCell(3), L.GRUCell(2)]), return_sequences=True)(x)
    shared = L.SimpleRNN(3, unroll=True)
    y = L.Dense(2)(shared(x) + shared(x[:, :4]))
    student = bench.adopt(keras.Model(series, y)).student()
    assert [(each.shape, each.places) for each in student.layers] == [
        ((12, 5), 6),
        ((12, 3), 6),
        ((6, 3), 6),
        ((6, 2), 6),
        ((3, 2), 10),
        ((3, 3), 10),
        ((2, 3), 1),
    ]


def test_a_projection_s_moments_are_those_of_what_it_multiplies(sequence):
    student, fed = sequence.student(), sequences()
    found = student.moments(["query", "attention_output"], fed)
    layer = student._function.keep.get_layer("attend")._output_dense
    inside = keras.Model(student._function.keep.inputs, student._function.keep.get_layer("words").output)
    words = np.concatenate([inside(each["ids"])[0] for each in fed])
    np.testing.assert_allclose(found["query"].gram, words.T @ words / len(words), atol=1e-5)
    assert found["attention_output"].gram.shape == (6, 6)
    assert layer.kernel.shape == (2, 3, 8)


def test_sequences_are_made_smaller_too(sequence):
    student, fed = sequence.student(), sequences(8)
    chosen = [layer for layer in student.layers if layer.kind != "depthwise"]
    before = student(fed[0])["head"]
    holds = closed_form.shrink(student, dict.fromkeys(chosen, Amount(0.5, 16)), fed, Step("compress"))
    student.hold(holds)
    losses = [student.learn(fed, 0.1) for _ in range(20)]
    assert min(losses) < 0.95 * losses[0]
    student.release()
    closed_form.reach(student, holds)
    for layer in chosen:
        weight = student.weight(layer.name)
        assert (weight == 0).sum() == round(0.5 * weight.size)
        assert cluster.distinct(weight) <= 16
    np.testing.assert_allclose(student.teach(fed[0])["head"], before, atol=1e-6)
    np.testing.assert_allclose(student.model()(fed[0])["head"], student(fed[0])["head"], atol=1e-5)


@pytest.mark.parametrize("form", ["functional", "nested", "sequential"])
def test_two_layers_take_the_place_of_one(bench, form, tmp_path: Path):
    keras.utils.set_random_seed(4)
    body = [
        L.Conv2D(24, 3, padding="same", activation="relu", name="stem"),
        L.Conv2D(32, 3, strides=2, use_bias=False, name="wide"),
        L.GlobalAveragePooling2D(),
        L.Dense(96, activation="relu", name="hidden"),
    ]
    image = x = keras.Input((12, 10, 3), name="image")
    if form == "nested":
        x = keras.Sequential([keras.Input((12, 10, 3)), *body], name="body")(x)
    else:
        for each in body:
            x = each(x)
    made = keras.Model(image, L.Dense(96, activation="softmax", name="head")(x))
    if form == "sequential":
        made = keras.Sequential([image, *body, L.Dense(96, activation="softmax", name="head")])
    model = bench.adopt(made)
    fed = [{"image": RNG.normal(size=(1, 12, 10, 3)).astype(np.float32)} for _ in range(40)]
    before = answer(model, fed[0])
    student = model.student()
    factors = low_rank.split(student, student.layers, 0.4, fed, fed[:8])
    assert factors
    two = student.split(factors)
    weights = [sum(each.shape[0] * each.shape[1] for each in own.layers) for own in (student, two)]
    assert weights[1] <= 0.6 * weights[0]
    np.testing.assert_allclose(two.teach(fed[0])["head"], before, atol=1e-6)
    for name, (first, second) in factors.items():
        np.testing.assert_allclose(two.weight(f"{name}_first"), first, atol=1e-6)
        student.change(name, (second @ first).astype(np.float32))
    np.testing.assert_allclose(answer(two, fed[0]), answer(student, fed[0]), atol=1e-5)
    two.hold({})
    two.save(tmp_path / "state")
    np.testing.assert_allclose(answer(two.model(), fed[0]), answer(two, fed[0]), atol=1e-5)


def test_a_subclassed_model_s_layers_stay_whole(bench):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.wide = L.Dense(64)

        def call(self, x):
            return self.wide(x)

    made = Own()
    made(np.zeros((1, 64), np.float32))
    student = bench.adopt(made).student()
    with pytest.raises(ModelError, match="Two layers can take the place of none"):
        low_rank.split(student, student.layers, 0.3, [], [])


def test_which_way_a_class_is_probable_is_the_teacher_s(model):
    student, fed = model.student(), images(3)
    for layer in student.layers:
        student.change(layer.name, 2 * student.weight(layer.name))
    gradients = [each["image"] for each in student.towards(fed, "head", [4, 0, 1])]
    alone = student.towards(fed[1:2], "head", [0])[0]["image"]
    np.testing.assert_allclose(gradients[1], alone, rtol=1e-3, atol=1e-6)
    for each, gradient, wanted in zip(fed, gradients, [4, 0, 1], strict=True):
        assert gradient.shape == each["image"].shape
        step = gradient / np.sqrt(np.sum(gradient**2))
        ends = [student.teach({"image": each["image"] + sign * step})["head"][0, wanted] for sign in (1, -1)]
        slope = np.log(ends[0]) - np.log(ends[1])
        assert slope == pytest.approx(2 * np.sqrt(np.sum(gradient**2)), rel=0.05)
