"""Windows that slide over images and volumes, said so that every backend of TF.js computes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from .rewrite import Call, Rewrite


def _cropped(call: Call) -> tf.Tensor | None:
    """``SAME`` where a window is smaller than its stride, on only those places that a window reads.

    "SAME" pads by what is missing, and by nothing when that is negative. There, TF.js's wasm backend (4.22) answers
    zeros for images, and every backend starts the windows of volumes before the first value.
    """
    sizes, window = call.shape(0), _window(call)
    if call.text("padding") != "SAME" or call.text("data_format").startswith("NC"):
        return None
    if sizes is None or window is None or None in sizes[1:-1]:
        return None
    read = [_read(int(size or 0), *each) for size, each in zip(sizes[1:-1], window, strict=True)]
    if all(last >= (size or 0) for last, size in zip(read, sizes[1:-1], strict=True)):
        return None
    places = [
        slice(None),
        *(slice(0, min(last, size or 0)) for last, size in zip(read, sizes[1:-1], strict=True)),
    ]
    exact = all(last <= (size or 0) for last, size in zip(read, sizes[1:-1], strict=True))
    return call.again([call.inputs[0][tuple(places)], *call.inputs[1:]], padding="VALID" if exact else "SAME")


def _window(call: Call) -> list[tuple[int, int]] | None:
    """Extent and stride along every axis that a window slides on."""
    strides = call.ints("strides")[1:-1]
    if "ksize" in call.attr:
        return list(zip(call.ints("ksize")[1:-1], strides, strict=True))
    kernel = call.shape(1)
    if kernel is None or None in kernel:
        return None
    dilations = (call.ints("dilations") or [1] * 5)[1 : 1 + len(strides)]
    extents = [(int(k or 0) - 1) * d + 1 for k, d in zip(kernel[: len(strides)], dilations, strict=True)]
    return list(zip(extents, strides, strict=True))


def _read(size: int, extent: int, stride: int) -> int:
    """Where the last window ends if the first begins at the first value."""
    return (-(-size // stride) - 1) * stride + extent


def _max_of_volume(call: Call) -> tf.Tensor | None:
    """Over height and width, then over depth: the wasm backend's takes no value below 1e-38 for a maximum."""
    shape = call.shape(0)
    if shape is None or None in shape[1:] or call.text("data_format") == "NCDHW":
        return None
    _, depth, height, width, channels = shape
    kernel, strides, padding = call.ints("ksize"), call.ints("strides"), call.text("padding")
    x = tf.reshape(call.inputs[0], [-1, height, width, channels])
    x = tf.nn.max_pool2d(x, kernel[2:4], strides[2:4], padding)
    _, height, width, _ = x.shape
    x = tf.reshape(x, [-1, depth, height * width, channels])
    x = tf.nn.max_pool2d(x, [kernel[1], 1], [strides[1], 1], padding)
    return tf.reshape(x, [-1, x.shape[1], height, width, channels])


def _max_of_padded(call: Call) -> tf.Tensor | None:
    """TF.js's pools take no padding in numbers."""
    if call.text("padding") != "EXPLICIT":
        return None
    pads = np.reshape(call.ints("explicit_paddings"), [-1, 2])
    padded = tf.pad(call.inputs[0], pads, constant_values=-np.inf)
    return call.again([padded], padding="VALID", explicit_paddings=[])


def _max_alone(call: Call) -> tf.Tensor | None:
    if call.outputs_read - {0}:
        return None
    return tf.nn.max_pool2d(call.inputs[0], call.ints("ksize"), call.ints("strides"), call.text("padding"))


def _dilated(call: Call) -> tf.Tensor | None:
    """A transposed convolution's dilation, which TF.js leaves out, as zeros between the kernel's values."""
    dilations = call.ints("dilations")[1:3]
    kernel: Any | None = call.constant(1)
    if set(dilations) <= {1} or kernel is None or call.text("data_format") == "NCHW":
        return None
    extents = [(k - 1) * d + 1 for k, d in zip(kernel.shape[:2], dilations, strict=True)]
    spread = np.zeros([*extents, *kernel.shape[2:]], kernel.dtype)
    spread[:: dilations[0], :: dilations[1]] = kernel
    return call.again([call.inputs[0], tf.constant(spread), call.inputs[2]], dilations=[1, 1, 1, 1])


WINDOWS: dict[str, Rewrite] = {
    **dict.fromkeys(("Conv2D", "DepthwiseConv2dNative", "Conv3D", "AvgPool3D"), _cropped),
    "MaxPool3D": _max_of_volume,
    "MaxPool": _max_of_padded,
    "MaxPoolWithArgmax": _max_alone,
    "Conv2DBackpropInput": _dilated,
}
