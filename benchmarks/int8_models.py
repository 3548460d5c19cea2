"""Small networks of many families, with random weights and batch statistics of real activations, for int8_quality.py.

One is trained for some steps; ``encoder`` is PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers as L

Made = tuple[Any, dict[str, np.ndarray]]
"""A model, and samples for each of its inputs."""

random = np.random.default_rng(11)


def smooth(count: int, *shape: int) -> np.ndarray:
    """Samples whose neighbours are alike, as in pictures and sounds, and that differ in loudness: (count, *shape)."""
    coarse = random.normal(size=(count, *[max(size // 8, 1) for size in shape[:-1]], shape[-1]))
    for axis in range(1, len(shape)):
        coarse = coarse.repeat(8, axis)
    loudness = random.uniform(0.3, 1, size=(count, *[1] * len(shape)))
    return ((coarse + 0.2 * random.normal(size=coarse.shape)) * loudness).astype(np.float32)


def settled(model: Any, *samples: np.ndarray) -> Made:
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            layer.momentum = 0.0
            layer.gamma.assign(np.exp(random.normal(0, 0.5, layer.gamma.shape)))
    some = [each[:32] for each in samples]
    model(some if len(some) > 1 else some[0], training=True)
    return model, {each.name: values for each, values in zip(model.inputs, samples, strict=True)}


def applications(name: str, **options: Any) -> Callable[[int], Made]:
    def make(count: int) -> Made:
        model = getattr(keras.applications, name)(
            input_shape=(96, 96, 3), weights=None, classes=10, **options
        )
        return settled(model, smooth(count, 96, 96, 3))

    return make


def trained(count: int) -> Made:
    """Inverted residuals that tell eight pictures from each other, each seen in many noisy versions."""
    image = x = keras.Input((48, 48, 3), name="image")
    x = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(x)))
    for filters, strides in ((16, 1), (24, 2), (24, 1), (32, 2), (32, 1)):
        y = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(4 * x.shape[-1], 1, use_bias=False)(x)))
        y = L.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(y)
        y = L.BatchNormalization()(
            L.Conv2D(filters, 1, use_bias=False)(L.ReLU(6.0)(L.BatchNormalization()(y)))
        )
        x = L.Add()([x, y]) if y.shape == x.shape else y
    x = L.Dense(8, activation="softmax", name="classes")(L.GlobalAveragePooling2D()(x))
    model, pictures = keras.Model(image, x), smooth(8, 48, 48, 3)
    labels = random.integers(0, 8, 1024 + count)
    samples = (pictures[labels] + random.normal(size=(len(labels), 48, 48, 3))).astype(np.float32)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(samples[:1024], labels[:1024], batch_size=32, epochs=6, verbose=0)
    return model, {"image": samples[1024:]}


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


def sound(count: int) -> Made:
    """Convolutions over samples of sound itself."""
    wave = x = keras.Input((1024, 1), name="wave")
    for filters, strides in ((8, 4), (16, 4), (32, 2), (32, 2)):
        x = L.Conv1D(filters, 9, strides=strides, padding="same")(x)
        x = L.ReLU()(L.BatchNormalization()(x))
    x = L.Dense(6, name="words")(L.GlobalAveragePooling1D()(x))
    return settled(keras.Model(wave, x), smooth(count, 1024, 1))


def two_inputs(count: int) -> Made:
    """A picture, and numbers that are far larger than its values."""
    image, numbers = keras.Input((32, 32, 3), name="image"), keras.Input((6,), name="numbers")
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 3, strides=2)(image)))
    x = L.GlobalAveragePooling2D()(L.ReLU()(L.BatchNormalization()(L.Conv2D(32, 3, strides=2)(x))))
    y = L.Dense(16, activation="relu")(L.BatchNormalization()(numbers))
    both = L.Dense(32, activation="relu")(L.Concatenate()([x, y]))
    drawn = (100 * random.normal(size=(count, 6))).astype(np.float32)
    return settled(
        keras.Model([image, numbers], L.Dense(4, name="scores")(both)), smooth(count, 32, 32, 3), drawn
    )


def two_outputs(count: int) -> Made:
    """Classes, and a value of another size."""
    image = x = keras.Input((32, 32, 3), name="image")
    for filters in (16, 32):
        x = L.ReLU()(L.BatchNormalization()(L.Conv2D(filters, 3, strides=2)(x)))
    x = L.GlobalAveragePooling2D()(x)
    classes = L.Dense(5, activation="softmax", name="classes")(x)
    age = L.Rescaling(50.0, name="age")(L.Dense(1)(L.Dense(16, activation="relu")(x)))
    return settled(keras.Model(image, [classes, age]), smooth(count, 32, 32, 3))


def pixels(scale: Any, offset: Any, padding: str) -> Callable[[int], Made]:
    """Raw pixels, normalised in the model."""

    def make(count: int) -> Made:
        image = keras.Input((48, 48, 3), name="image")
        x = L.Rescaling(scale, offset)(image)
        for filters, strides in ((16, 1), (32, 2), (32, 2)):
            x = L.ReLU()(L.BatchNormalization()(L.Conv2D(filters, 3, strides=strides, padding=padding)(x)))
        made = keras.Model(image, L.Dense(10, name="scores")(L.GlobalAveragePooling2D()(x)))
        return settled(made, (100 * smooth(count, 48, 48, 3) + 128).clip(0, 255).round())

    return make


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


def gru(count: int) -> Made:
    series = keras.Input((32, 8))
    x = L.GRU(24)(L.Bidirectional(L.GRU(24, return_sequences=True))(series))
    return settled(
        keras.Model(series, L.Dense(5, activation="softmax", name="classes")(x)), smooth(count, 32, 8)
    )


def encoder(count: int) -> Made:
    import torch
    from torch import nn

    torch.manual_seed(7)

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.scores = nn.Linear(16, 32), nn.Linear(32, 6)
            layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, series: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.scores(self.layers(self.embed(series)).mean(1))
            return scores

    return Encoder().eval(), {"series": smooth(count, 32, 16)}


MODELS: dict[str, Callable[[int], Made]] = {
    "mobilenet_v2": applications("MobileNetV2", alpha=0.35),
    "mobilenet_v3": applications("MobileNetV3Small", minimalistic=False, include_preprocessing=False),
    "resnet50_v2": applications("ResNet50V2"),
    "efficientnet_v2": applications("EfficientNetV2B0", include_preprocessing=False),
    "nasnet": applications("NASNetMobile"),
    "trained": trained,
    "unet": unet,
    "detector": detector,
    "audio": audio,
    "sound": sound,
    "two_inputs": two_inputs,
    "two_outputs": two_outputs,
    "pixels": pixels(1 / 127.5, -1.0, "same"),
    "pixels_mean": pixels(1 / 128, -127 / 128, "same"),
    "pixels_by_channel": pixels([0.0171, 0.0175, 0.0174], [-2.12, -2.04, -1.80], "valid"),
    "transformer": transformer,
    "encoder": encoder,
    "lstm": lstm,
    "gru": gru,
}
