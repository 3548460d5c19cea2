"""How the results and the weights of ops lie in a .tflite, as the model has them: equalised channels are scaled back."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from edgepack.precision.causes import Grid, Stored
from edgepack.spec import Array

from .flatbuffer import ModelView, OpView, per_tensor_quantization
from .scaled import scales_in

INTEGERS = {"int8", "uint8", "int16"}
OUTPUTS = {"DEPTHWISE_CONV_2D": -1, "CONV_2D": 0, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0}
"""Of a layer's weights, the axis of what it makes."""


def stored(view: ModelView, weighed: Collection[str]) -> dict[str, Stored]:
    """By op, of the main graph; with the weights of some."""
    scales = scales_in(view)
    found = {}
    for op in view.ops:
        if not op.subgraph and op.outputs:
            weights, codes = _weights(view, op, scales) if op.name in weighed else (None, None)
            found[op.name] = Stored(_grid(view, op, scales), -1, weights, codes)
    return found


def _grid(view: ModelView, op: OpView, scales: Mapping[str, Array]) -> Grid | None:
    own, dtype = per_tensor_quantization(view.tensor(0, op.outputs[0])), view.dtype(0, op.outputs[0])
    if own is None or dtype not in INTEGERS:
        return None
    limits = np.iinfo(dtype)
    scale = np.float32(own.scale) / scales.get(op.name, np.ones(1, np.float32))
    return Grid(scale, own.zero_point, int(limits.min), int(limits.max))


def _weights(view: ModelView, op: OpView, scales: Mapping[str, Array]) -> tuple[Array | None, Array | None]:
    """Real values and integers of a layer's weights, what it makes first; of an op that has none, nothing."""
    weight = op.inputs[1] if op.kind in OUTPUTS and len(op.inputs) > 1 else -1
    if weight not in op.constants or view.dtype(0, weight) not in ("int8", "float32"):
        return None, None
    axis, values = OUTPUTS[op.kind], view.values(0, weight)
    codes = values if values.dtype == np.int8 else None
    real = values.astype(np.float32)
    if codes is not None:
        real *= _along(np.asarray(view.tensor(0, weight).quantization.scale, np.float32), real, axis)
    if op.kind != "TRANSPOSE_CONV":  # its channels are never equalised
        made, read = scales.get(op.name), scales.get(view.tensor_name(0, op.inputs[0]))
        real /= _along(made, real, axis) if made is not None else 1
        real *= read if read is not None else 1
    return np.moveaxis(real, axis, 0), None if codes is None else np.moveaxis(codes, axis, 0)


def _along(scale: Array, values: Array, axis: int) -> Array:
    """One scale, or one a channel, as what can be multiplied with values along an axis."""
    shape = [1] * values.ndim
    shape[axis] = scale.size
    return scale.reshape(shape)
