"""Small networks of many families, with random weights and batch statistics of real activations, for int8_quality.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers as L

Made = tuple[Any, np.ndarray]
"""A Keras model with one input, and samples for it."""

random = np.random.default_rng(11)


def smooth(count: int, *shape: int) -> np.ndarray:
    """Samples whose neighbours are alike, as in pictures and sounds, and that differ in loudness: (count, *shape)."""
    coarse = random.normal(size=(count, *[max(size // 8, 1) for size in shape[:-1]], shape[-1]))
    for axis in range(1, len(shape)):
        coarse = coarse.repeat(8, axis)
    loudness = random.uniform(0.3, 1, size=(count, *[1] * len(shape)))
    return ((coarse + 0.2 * random.normal(size=coarse.shape)) * loudness).astype(np.float32)


def settled(model: Any, samples: np.ndarray) -> Made:
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            layer.momentum = 0.0
            layer.gamma.assign(np.exp(random.normal(0, 0.5, layer.gamma.shape)))
    model(samples[:32], training=True)
    return model, samples


def applications(name: str, **options: Any) -> Callable[[int], Made]:
    def make(count: int) -> Made:
        model = getattr(keras.applications, name)(
            input_shape=(96, 96, 3), weights=None, classes=10, **options
        )
        return settled(model, smooth(count, 96, 96, 3))

    return make


def unet(count: int) -> Made:
    image = x = keras.Input((64, 64, 3))
    skips = []
    for filters in (8, 16, 32):
        x = L.ReLU()(L.BatchNormalization()(L.Conv2D(filters, 3, padding="same")(x)))
        skips.append(x)
        x = L.MaxPooling2D()(x)
    for skip in reversed(skips):
        x = L.Concatenate()([L.UpSampling2D()(x), skip])
        x = L.ReLU()(L.BatchNormalization()(L.Conv2D(skip.shape[-1], 3, padding="same")(x)))
    return settled(keras.Model(image, L.Conv2D(2, 1, name="mask")(x)), smooth(count, 64, 64, 3))


def detector(count: int) -> Made:
    image = x = keras.Input((64, 64, 3))
    heads = []
    for filters in (16, 32, 64):
        x = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(filters, 3, strides=2, padding="same")(x)))
        boxes = L.Rescaling(640.0)(L.Conv2D(4, 1, activation="sigmoid")(x))
        heads.append(L.Reshape((-1, 9))(L.Concatenate()([boxes, L.Conv2D(5, 1, activation="sigmoid")(x)])))
    return settled(keras.Model(image, L.Concatenate(axis=1, name="found")(heads)), smooth(count, 64, 64, 3))


def audio(count: int) -> Made:
    sound = x = keras.Input((64, 40, 1))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 3, strides=2)(x)))
    for filters in (32, 48):
        x = L.ReLU()(L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same")(x)))
        x = L.ReLU()(L.BatchNormalization()(L.Conv2D(filters, 1)(x)))
    x = L.Dense(8, activation="softmax", name="words")(L.GlobalAveragePooling2D()(x))
    return settled(keras.Model(sound, x), smooth(count, 64, 40, 1))


def transformer(count: int) -> Made:
    series = keras.Input((32, 16))
    x = L.Dense(32)(series)
    for _ in range(2):
        x = L.LayerNormalization()(x + L.MultiHeadAttention(2, 16)(x, x))
        x = L.LayerNormalization()(x + L.Dense(32)(L.Dense(64, activation="gelu")(x)))
    x = L.Dense(6, name="scores")(L.GlobalAveragePooling1D()(x))
    return settled(keras.Model(series, x), smooth(count, 32, 16))


def lstm(count: int) -> Made:
    series = keras.Input((32, 8))
    x = L.Dense(5, name="scores")(L.LSTM(32)(L.Dense(16, activation="relu")(series)))
    return settled(keras.Model(series, x), smooth(count, 32, 8))


MODELS: dict[str, Callable[[int], Made]] = {
    "mobilenet_v2": applications("MobileNetV2", alpha=0.35),
    "mobilenet_v3": applications("MobileNetV3Small", minimalistic=False, include_preprocessing=False),
    "resnet50_v2": applications("ResNet50V2"),
    "efficientnet_v2": applications("EfficientNetV2B0", include_preprocessing=False),
    "nasnet": applications("NASNetMobile"),
    "unet": unet,
    "detector": detector,
    "audio": audio,
    "transformer": transformer,
    "lstm": lstm,
}
