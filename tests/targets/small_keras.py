"""Keras networks that tests of several targets make smaller."""

import keras

L = keras.layers
SIZE = 12


def wide(channels=24, activation=None):
    """Two convolutions, normalised behind each, the second one to as many channels, and a linear layer on all places."""
    keras.utils.set_random_seed(3)
    image = x = keras.Input((SIZE, SIZE, 3), name="image")
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(8, 3, name="stem")(x)))
    x = L.Conv2D(channels, 3, use_bias=False, name="wide")(x)
    x = (activation or L.ReLU())(L.BatchNormalization(gamma_initializer="random_normal", name="norm")(x))
    return keras.Model(image, L.Dense(10, name="head")(L.Flatten()(x)))


def convolutions():
    """Of every kind whose weights are one matrix: `image` 12x10x3 -> 5 probabilities."""
    keras.utils.set_random_seed(1)
    image = x = keras.Input((12, 10, 3), name="image")
    x = L.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(x)
    x = L.ReLU()(L.BatchNormalization()(x))
    x = L.DepthwiseConv2D(3, name="deep")(x)
    x = L.Conv2D(12, 3, strides=2, padding="same", activation="relu", name="wide")(x)
    x = L.Conv2D(10, (2, 1), dilation_rate=2, activation="relu", name="odd")(x)
    x = L.Conv1D(10, 3, dilation_rate=2, activation="relu", name="line")(L.Reshape((12, 10))(x))
    x = L.Dense(5, activation="softmax", name="head")(L.GlobalAveragePooling1D()(x))
    return keras.Model(image, x)
