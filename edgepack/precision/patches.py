"""What a convolution reads at one place of its output, as rows: the inputs that its weights are multiplied with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..spec import Array

PLACES = 256
"""So many places of a sample tell enough."""

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """How a convolution goes over an image: sizes of height and width.

    Attributes:
        margins: of zeros, before and after.
    """

    kernel: Pair
    strides: Pair = (1, 1)
    dilation: Pair = (1, 1)
    margins: tuple[Pair, Pair] = ((0, 0), (0, 0))

    @property
    def reach(self) -> Pair:
        """From the first input to the last."""
        (height, width), (down, across) = self.kernel, self.dilation
        return (height - 1) * down + 1, (width - 1) * across + 1


def rows(values: Array, window: Window, by_channel: bool) -> Array:
    """The inputs of a convolution at some places of its output.

    Args:
        values: [batch, height, width, channels].

    Returns:
        [1, places, height * width * channels of the kernel]; ``by_channel``, [channels, places, height * width].
    """
    (down, across), (high, wide) = window.strides, window.dilation
    values = np.pad(values, [(0, 0), *window.margins, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(values, window.reach, (1, 2))
    windows = windows[:, ::down, ::across, :, ::high, ::wide]
    batch, height, width, channels = windows.shape[:4]
    count = batch * height * width
    places = np.linspace(0, count - 1, min(PLACES, count)).astype(np.int64)
    chosen = windows[np.unravel_index(places, (batch, height, width))]  # [places, channels, height, width]
    if by_channel:
        return chosen.transpose(1, 0, 2, 3).reshape(channels, len(places), -1)
    return chosen.transpose(0, 2, 3, 1).reshape(1, len(places), -1)


def thinned(values: Array) -> Array:
    """The inputs of a dense layer, [..., in], at some places: [1, places, in]."""
    flat = values.reshape(1, -1, values.shape[-1])
    found: Array = flat[:, :: max(1, flat.shape[1] // PLACES)]
    return found


def same(sizes: Sequence[int], reach: Pair, strides: Pair) -> tuple[Pair, Pair]:
    """What SAME padding adds before and after, as TensorFlow's kernels have it: the odd one goes behind."""
    first, second = (
        max((-(-size // stride) - 1) * stride + wide - size, 0)
        for size, wide, stride in zip(sizes, reach, strides, strict=True)
    )
    return (first // 2, first - first // 2), (second // 2, second - second // 2)
