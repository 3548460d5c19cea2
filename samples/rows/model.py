"""A small transformer that reads a digit row by row, as prepare.py trains it."""

from __future__ import annotations

import keras
from keras import layers

WIDTH, HEADS, BLOCKS = 96, 4, 3


def network() -> keras.Model:
    """28 rows of 28 pixels, 0..255, to scores of the ten digits; 280,000 weights, nearly all in matrix products."""
    rows = keras.Input((28, 28), name="rows")
    # the bias is one for each row: a learned embedding of its place
    x = layers.EinsumDense("nrp,pw->nrw", (28, WIDTH), bias_axes="rw")(layers.Rescaling(1 / 255)(rows))
    for _ in range(BLOCKS):
        normed = layers.LayerNormalization(epsilon=1e-5)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(normed, normed)])
        hidden = layers.Dense(3 * WIDTH, activation="gelu")(layers.LayerNormalization(epsilon=1e-5)(x))
        x = layers.Add()([x, layers.Dense(WIDTH)(hidden)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-5)(x))
    return keras.Model(rows, layers.Dense(10, name="scores")(x), name="rows")
