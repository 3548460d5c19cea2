"""Which channels of a Keras model can go, and that it computes the same without those that nothing reads."""

from pathlib import Path

import keras
import numpy as np
import pytest

from edgepack.errors import ModelError
from edgepack.wrap import InputWrap, Wrap

L = keras.layers
RNG = np.random.default_rng(0)
IMAGE = (1, 12, 12, 3)


def residual():
    """MobileNet's block with attention over channels (by a Reshape), and an addition by ``+``."""
    image = keras.Input(IMAGE[1:], name="image")
    stem = x = L.ReLU(6.0)(
        L.BatchNormalization()(L.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(image))
    )
    x = L.BatchNormalization()(L.Conv2D(16, 1, name="wide")(x))
    x = L.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="silu", name="deep")(x)
    y = L.Reshape((1, 1, 32))(L.GlobalAveragePooling2D()(x))
    y = L.Conv2D(32, 1, activation="sigmoid", name="excite")(
        L.Conv2D(4, 1, activation="relu", name="squeeze")(y)
    )
    x = stem + L.Conv2D(8, 1, name="narrow")(L.Multiply()([x, y]))
    return keras.Model(image, L.Dense(5, activation="softmax", name="head")(L.GlobalMaxPooling2D()(x)))


def joined():
    image = keras.Input(IMAGE[1:], name="image")
    high = L.Conv2D(4, 3, padding="same", activation="relu", name="high")(image)
    low = L.Conv2D(6, 3, padding="same", activation="relu", name="low")(L.MaxPooling2D()(high))
    x = L.Concatenate()([high, L.Conv2DTranspose(4, 2, 2)(low), L.UpSampling2D()(low)])
    x = L.Conv2D(3, 3, strides=4, name="joined")(L.ZeroPadding2D(1)(x))
    return keras.Model(image, L.Dense(5, name="head")(L.Flatten()(x)))


def mixed():
    """Softmax over channels, a convolution in groups, a normalisation of each place, another activation."""
    image = keras.Input(IMAGE[1:], name="image")
    x = L.Conv2D(4, 1, activation="softmax")(image)
    x = L.LayerNormalization()(L.Conv2D(6, 1)(x))
    x = L.Conv2D(4, 3, groups=2)(x)
    x = L.Conv2D(5, 1, activation=lambda each: each - keras.ops.mean(each, -1, True))(x)
    x = L.Conv2D(7, 1, name="hidden")(L.SeparableConv2D(4, 3, name="separable")(x))
    return keras.Model(image, L.Conv2D(2, 1, name="head")(x))


def sequence():
    return keras.Sequential(
        [
            keras.Input(IMAGE[1:], name="image"),
            L.Conv2D(6, 3, activation="relu", name="first"),
            L.AveragePooling2D(2),
            L.Dropout(0.5),
            L.Conv2D(4, 3, activation="gelu", name="second"),
            L.Flatten(),
            L.Dense(3, name="head"),
        ]
    )


def nested():
    """One network at two places, a model in a model; an output of several."""
    inner = keras.Sequential(
        [keras.Input(IMAGE[1:]), L.Conv2D(4, 3, activation="relu", name="inner")], name="net"
    )
    pooled = keras.Model(inner.inputs, L.GlobalAveragePooling2D()(inner.outputs[0]), name="pooled")
    one, two = (keras.Input(IMAGE[1:], name=name) for name in ("image", "other"))
    x = L.Dense(6, activation="tanh", name="both")(L.Concatenate()([pooled(one), pooled(two)]))
    return keras.Model([one, two], {"box": L.Dense(1, name="first")(x), "kind": L.Dense(2, name="second")(x)})


def series():
    x = keras.Input((20, 6), name="image")
    y = L.LSTM(5, return_sequences=True)(L.Conv1D(4, 3, padding="causal", name="sound")(x))
    y = L.Add()([y, L.Dense(5, name="narrow")(L.Dense(12, activation="gelu", name="wide")(y))])
    return keras.Model(
        x, L.Dense(2, name="head")(L.GlobalAveragePooling1D()(L.MultiHeadAttention(1, 4)(y, y)))
    )


@pytest.mark.parametrize(
    ("made", "groups"),
    [
        (
            residual,
            {
                ("narrow stem", "head wide"): 8,
                ("deep excite wide", "narrow squeeze"): 16,
                ("squeeze", "excite"): 4,
            },
        ),
        (joined, {("high", "joined low"): 4, ("", "joined"): 4, ("joined", "head"): 3}),
        (mixed, {("", "hidden"): 4, ("hidden", "head"): 7}),
        (sequence, {("first", "second"): 6, ("second", "head"): 4}),
        (nested, {("inner", "both"): 4, ("both", "first second"): 6}),
        (series, {("wide", "narrow"): 12}),
    ],
)
def test_channels_go_together_and_without_a_trace(bench, made, groups):
    keras.utils.set_random_seed(0)
    network = made()
    student = bench.adopt(network).student()
    chosen = student.groups()
    assert {
        (" ".join(sorted(group.rows)), " ".join(sorted(group.columns))): group.size for group in chosen
    } == groups
    gone = {group: RNG.permutation(group.size)[: group.size // 2] for group in chosen}
    for group, channels in gone.items():
        for name, columns in group.columns.items():
            weight = student.weight(name)
            weight[:, columns[channels].ravel()] = 0
            student.change(name, weight)
    fed = {each.name: RNG.normal(size=(1, *each.shape[1:])).astype(np.float32) for each in network.inputs}
    before, macs = student(fed), sum(layer.macs for layer in student.layers)
    student.slim(gone)
    slim = student.model()
    assert sum(layer.macs for layer in student.layers) < macs
    for name, value in slim(fed).items():
        np.testing.assert_allclose(value, before[name], rtol=1e-4, atol=1e-5)
    assert slim.signature == bench.adopt(made()).signature


def test_the_wrap_is_around_the_slim_model_too(bench):
    scaled = Wrap((("image", InputWrap(kind="image", scale=(1 / 255,))),))
    student = bench.adopt(sequence(), wrap=scaled).student()
    group, _ = student.groups()
    student.change("second", np.zeros_like(student.weight("second")))
    fed = {"image": RNG.integers(0, 256, IMAGE, np.uint8)}
    before = student(fed)["head"]
    student.slim({group: np.arange(2)})
    np.testing.assert_allclose(student.model()(fed)["head"], before, rtol=1e-4, atol=1e-5)


def test_a_state_is_brought_back_before_channels_go(bench, tmp_path: Path):
    student = bench.adopt(sequence()).student()
    student.change("second", np.zeros_like(student.weight("second")), np.ones(4, np.float32))
    student.save(tmp_path / "state")
    other = bench.adopt(sequence()).student()
    group, _ = other.groups()
    other.restore(tmp_path / "state")
    other.slim({group: np.arange(2)})
    fed = {"image": RNG.normal(size=IMAGE).astype(np.float32)}
    np.testing.assert_allclose(other.model()(fed)["head"], student(fed)["head"], rtol=1e-4, atol=1e-5)


def test_a_model_of_its_own_code_has_no_channels_to_remove(bench):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.one, self.two = L.Dense(4), L.Dense(2)

        def call(self, x):
            return self.two(self.one(x))

    made = Own()
    made(np.zeros((1, 3), np.float32))
    with pytest.raises(ModelError, match="code of its own") as caught:
        bench.adopt(made).student().groups()
    assert "--prune" in caught.value.hint
