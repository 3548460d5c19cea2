"""What a layer reads at one place of its output, as rows: the inputs that its weights are multiplied with."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgepack.spec import Array

PLACES = 256
"""So many places of a sample tell enough."""


def rows(values: Array, options: Any, kernel: tuple[int, int], by_channel: bool) -> Array:
    """The inputs of a convolution at some places of its output.

    Args:
        values: [batch, height, width, channels].
        options: the op's, of the schema: strides, dilation, padding.

    Returns:
        [1, places, height * width * channels of the kernel]; ``by_channel``, [channels, places, height * width].
    """
    strides = (options.strideH, options.strideW)
    dilation = (options.dilationHFactor or 1, options.dilationWFactor or 1)
    reach = [(size - 1) * each + 1 for size, each in zip(kernel, dilation, strict=True)]
    if options.padding == schema.Padding.SAME:
        values = np.pad(values, [(0, 0), *_margins(values.shape[1:3], reach, strides), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(values, reach, (1, 2))
    windows = windows[:, :: strides[0], :: strides[1], :, :: dilation[0], :: dilation[1]]
    batch, height, width, channels = windows.shape[:4]
    some = np.linspace(0, batch * height * width - 1, min(PLACES, batch * height * width)).astype(np.int64)
    chosen = windows[np.unravel_index(some, (batch, height, width))]  # [places, channels, height, width]
    if by_channel:
        return chosen.transpose(1, 0, 2, 3).reshape(channels, len(some), -1)
    return chosen.transpose(0, 2, 3, 1).reshape(1, len(some), -1)


def _margins(sizes: tuple[int, ...], reach: list[int], strides: tuple[int, int]) -> list[tuple[int, int]]:
    """What SAME padding adds before and after, as the kernels have it: the odd one goes behind."""
    found = []
    for size, wide, stride in zip(sizes, reach, strides, strict=True):
        lacking = max((-(-size // stride) - 1) * stride + wide - size, 0)
        found.append((lacking // 2, lacking - lacking // 2))
    return found
