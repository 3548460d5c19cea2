"""The weights of a graph model's layers, as the runtime makes them and as they are stored. All results are float."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.precision.causes import Stored
from edgepack.spec import Array

from .audit import nodes_of, own_weights
from .weights import dequantize, read

MADE = {
    "Conv2D": -1,
    "_FusedConv2D": -1,
    "DepthwiseConv2dNative": -2,
    "FusedDepthwiseConv2dNative": -2,
    "MatMul": -1,
    "_FusedMatMul": -1,
}
"""Of a layer's weights, the axis of the channels that it makes."""


def stored(model: Mapping[str, Any], folder: Path, weighed: Collection[str]) -> dict[str, Stored]:
    """By op, those in ``weighed`` that are layers; of a parsed model.json and the folder of its shards."""
    if not weighed:
        return {}
    nodes, weights = nodes_of(model["modelTopology"]), read(model["weightsManifest"], folder)
    found = {}
    for name in weighed:
        axis = MADE.get(nodes[name]["op"]) if name in nodes else None
        own = own_weights(nodes[name], nodes, weights) if axis is not None else {}
        large = [each for each in own.values() if each.values.ndim >= 2]
        if axis is not None and large:
            found[name] = _stored(dequantize(large[0]), large[0].values, axis)
    return found


def _stored(real: Array, values: Array, axis: int) -> Stored:
    codes = values if values.dtype.kind == "u" else None
    return Stored(
        None, -1, np.moveaxis(real, axis, 0), None if codes is None else np.moveaxis(codes, axis, 0)
    )
