"""Average pooling as TensorFlow has it: Keras on PyTorch counts repeated edges where ``same`` padding is uneven."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import torch
from keras import layers
from torch.nn import functional as F

POOLS: dict[type, Callable[..., torch.Tensor]] = {
    layers.AveragePooling1D: F.avg_pool1d,
    layers.AveragePooling2D: F.avg_pool2d,
    layers.AveragePooling3D: F.avg_pool3d,
}


def correct(model: keras.Model) -> None:
    """Have every average pool with ``same`` padding in a Keras model on PyTorch count values of its input alone, in place."""
    for layer in model._flatten_layers():
        if type(layer) in POOLS and layer.padding == "same":
            layer.call = _call(layer)


def _call(layer: Any) -> Callable[[Any], torch.Tensor]:
    pool = POOLS[type(layer)]
    is_last = layer.data_format == "channels_last"

    def call(inputs: Any) -> torch.Tensor:
        x = keras.ops.convert_to_tensor(inputs)
        x = x.movedim(-1, 1) if is_last else x
        pad: list[int] = []
        for size, window, step in zip(x.shape[2:], layer.pool_size, layer.strides, strict=True):
            total = max((-(-size // step) - 1) * step + window - size, 0)
            pad = [total // 2, total - total // 2, *pad]
        sums, counts = (
            pool(F.pad(each, pad), tuple(layer.pool_size), tuple(layer.strides))
            for each in (x, torch.ones_like(x[:1, :1]))
        )
        found = sums / counts
        return found.movedim(1, -1) if is_last else found

    return call
