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
