"""Small models of every family, with weights and statistics that are not those of initialisation."""

import keras
import numpy as np
import tensorflow as tf

L = keras.layers


def trained(model):
    """The model with random biases, statistics and slopes; fresh ones are zeros and ones, which hide mistakes."""
    rng = np.random.default_rng(3)
    for layer in model._flatten_layers():
        for weight in layer.weights:
            if weight.name in ("bias", "beta", "moving_mean"):
                weight.assign(rng.uniform(-0.5, 0.5, weight.shape))
            elif weight.name in ("gamma", "moving_variance", "alpha"):
                weight.assign(rng.uniform(0.2, 1.2, weight.shape))
    return model


def recurrent(layer, shape=(6, 3)):
    series = keras.Input(shape, name="series")
    return trained(keras.Model(series, L.Dense(2, name="y")(layer(series))))


def cnn():
    """Convolutions of every kind with batch normalisation and activations."""
    image = keras.Input((12, 12, 3), name="image")
    x = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(8, 3, use_bias=False, name="plain")(image)))
    x = L.ReLU()(L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same", name="depthwise")(x)))
    y = L.BatchNormalization()(L.Conv2D(8, 1, name="pointwise")(x))
    x = L.PReLU(shared_axes=[1, 2], name="slopes")(L.Conv2D(8, 1, name="sum")(L.Add()([x, y])))
    x = L.BatchNormalization()(L.Conv2DTranspose(4, 3, strides=2, name="transposed")(x))
    x = L.Dense(6, activation="elu", name="dense")(L.Flatten()(x))
    return trained(keras.Model(image, L.Dense(4, activation="softmax", name="classes")(x)))


def unet():
    def block(x, channels):
        for _ in range(2):
            x = L.ReLU()(L.BatchNormalization()(L.Conv2D(channels, 3, padding="same")(x)))
        return x

    image = keras.Input((16, 16, 3), name="image")
    top = block(image, 4)
    middle = block(L.MaxPool2D()(top), 8)
    bottom = block(L.MaxPool2D()(middle), 16)
    x = L.Conv2DTranspose(8, 2, strides=2, padding="same")(bottom)
    x = block(L.Concatenate()([x, middle]), 8)
    x = block(L.Concatenate()([L.UpSampling2D(interpolation="bilinear")(x), top]), 4)
    return trained(keras.Model(image, L.Conv2D(2, 1, activation="softmax", name="mask")(x)))


def transformer(activation="gelu"):
    ids = keras.Input((12,), dtype="int64", name="ids")
    x = L.Embedding(50, 32)(ids) + L.Embedding(12, 32)(keras.ops.arange(12))
    x = L.LayerNormalization()(x + L.MultiHeadAttention(2, 16)(x, x))
    x = L.LayerNormalization()(x + L.Dense(32)(L.Dense(64, activation=activation)(x)))
    return trained(
        keras.Model(ids, L.Dense(4, activation="softmax", name="y")(L.GlobalAveragePooling1D()(x)))
    )


def several():
    """Two inputs; outputs that are an input, that are the same, that are numbers."""
    zebra, ant = keras.Input((4,), name="zebra"), keras.Input((4,), name="ant")
    double = L.Rescaling(2.0)(zebra)
    return keras.Model(
        [zebra, ant],
        {
            "z": L.Subtract()([zebra, ant]),
            "a": L.Add()([zebra, ant]),
            "same": L.Identity()(zebra),
            "double": double,
            "again": L.Identity()(double),
        },
    )


class Branches(tf.Module):
    """A branch whose results are constants, and a loop in a branch."""

    @tf.function(input_signature=[tf.TensorSpec([1, 3], tf.float32, name="x")])
    def predict(self, x):
        is_positive = tf.reduce_sum(x) > 0
        looped = tf.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, v + 1.0), (0, x))[1]
        return {
            "constant": tf.cond(
                is_positive, lambda: tf.constant([1.0, 2.0]), lambda: tf.constant([3.0, 4.0])
            ),
            "looped": tf.cond(is_positive, lambda: x * 2, lambda: looped),
        }


class Normalised(tf.Module):
    """FusedBatchNorm, as Keras 2 wrote it: one after a convolution, one after an activation."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(0)
        self.weights = tf.Variable(rng.normal(size=(3, 3, 3, 8)).astype(np.float32))
        self.moments = [tf.Variable(rng.uniform(0.2, 1, 8).astype(np.float32)) for _ in range(4)]

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, name="x")])
    def predict(self, x):
        norm = tf.compat.v1.nn.fused_batch_norm
        x, _, _ = norm(tf.nn.conv2d(x, self.weights, 1, "SAME"), *self.moments, is_training=False)
        return {"y": norm(tf.nn.relu6(x), *self.moments, is_training=False)[0]}


FAMILIES = {
    "cnn": cnn,
    "unet": unet,
    "lstm": lambda: recurrent(L.LSTM(4)),
    "sequence": lambda: recurrent(L.LSTM(4, return_sequences=True)),
    "gru": lambda: recurrent(L.GRU(4)),
    "bidirectional": lambda: recurrent(L.Bidirectional(L.LSTM(4))),
    "conv1d": lambda: recurrent(L.Conv1D(4, 3, padding="causal")),
    "transformer": transformer,
    "several": several,
    "branches": Branches,
    "normalised": Normalised,
}
