"""Small networks of one kind of op each; input ``image`` 8x8x3, output ``y``."""

import keras
import numpy as np

L = keras.layers

LAYERS = {
    "conv": lambda x: L.Conv2D(8, 3, padding="same", activation="relu")(x),
    "depthwise": lambda x: L.DepthwiseConv2D(3, depth_multiplier=2, activation="relu6")(x),
    "dense": lambda x: L.Dense(5, activation="sigmoid")(L.Flatten()(x)),
    "softmax": lambda x: L.Softmax()(L.Dense(7)(L.Flatten()(x))),
    "add": lambda x: L.Add()([L.Conv2D(4, 1)(x), L.Conv2D(4, 1, activation="relu")(x)]),
    "pools": lambda x: L.AveragePooling2D(2)(L.MaxPooling2D(3, strides=1)(x)),
    "mean": lambda x: L.GlobalAveragePooling2D()(L.Conv2D(6, 2)(x)),
    "concat": lambda x: L.Concatenate()([L.Conv2D(2, 1)(x), L.Conv2D(3, 1, activation="tanh")(x), x]),
}


def network(*kinds):
    """The layers of these kinds, one after the other; no bias is zero, so that none is left out."""
    keras.utils.set_random_seed(7)
    image = x = keras.Input((8, 8, 3), name="image")
    for kind in kinds:
        x = LAYERS[kind](x)
    made = keras.Model(image, L.Identity(name="y")(x))
    for weight in made.weights:
        if weight.name == "bias":
            weight.assign(np.linspace(-0.2, 0.3, weight.shape[0]))
    return made


EVERY = ("conv", "depthwise", "add", "concat", "pools", "mean", "softmax")
