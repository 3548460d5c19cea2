"""Models made with Keras alone, for whatever it computes with; their weights are drawn anew by every process."""

import keras
import numpy as np
from keras import layers as L


def images():
    rng = np.random.default_rng(0)
    for _ in range(32):
        blocks = rng.uniform(0, 255, (4, 4, 3)).repeat(4, 0).repeat(4, 1)
        yield {"image": np.rint(blocks).astype(np.float32)}


def _scaled_cnn():
    image = keras.Input((16, 16, 3), name="image")
    x = L.Rescaling(1 / 127.5, -1)(image)
    x = L.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    return image, L.GlobalAveragePooling2D(name="feature")(x)


def unseeded():
    """Outputs by name, in an order of their own."""
    image, x = _scaled_cnn()
    classes = L.Dense(4, activation="softmax", name="classes")(x)
    return keras.Model(image, {"feature": x, "classes": classes})


def recurrent():
    """Bidirectional layers look whether TensorFlow is there when they are made."""
    series = keras.Input((6, 3), name="series")
    return keras.Model(series, L.Dense(2, name="value")(L.Bidirectional(L.GRU(4))(series)))


def vectors():
    rng = np.random.default_rng(0)
    for _ in range(32):
        yield {"series": rng.normal(0, 1, (6, 3)).astype(np.float32)}


def long_series():
    rng = np.random.default_rng(0)
    for _ in range(32):
        yield {"series": rng.normal(0, 1, (160, 16)).astype(np.float32)}


def deep():
    """Three recurrent layers of many steps, which a converter that unrolls writes out 480 times."""
    x = series = keras.Input((160, 16), name="series")
    for last in (False, False, True):
        x = L.LSTM(128, return_sequences=not last)(x)
    return keras.Model(series, L.Dense(4, name="value")(x))


class Scaled(L.Layer):
    """A layer that no file can bring along."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="uniform", name="scale")

    def call(self, x):
        return keras.ops.tanh(x * self.scale)


class Network(keras.Model):
    """Not built before it is called."""

    def __init__(self):
        super().__init__()
        self.first, self.scaled, self.last = L.Dense(8), Scaled(), L.Dense(3)

    def call(self, series):
        return {"last": self.last(self.scaled(self.first(series)))}


def subclassed():
    return Network()
