"""The scales of equalised channels, kept in the file so that its layers can be read as the model has them.

A metadata buffer, which no runtime looks at: a JSON line of groups, ``[[tensor, ...], channels]``, then a byte for every
channel, how many fourths of a power of two it is scaled by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgepack.precision.equalise import STEPS
from edgepack.spec import Array

from .flatbuffer import ModelView, write

NAME = "edgepack.channel_scales"


def with_scales(data: bytes, scales: Mapping[str, Array]) -> bytes:
    """The file with the scales in it; the same bytes where there are none."""
    if not scales:
        return data
    groups: dict[bytes, list[str]] = {}
    for name, values in scales.items():
        groups.setdefault(np.rint(STEPS * np.log2(values)).astype(np.int8).tobytes(), []).append(name)
    header = json.dumps([[names, len(key)] for key, names in groups.items()]).encode()
    model = ModelView(data).model
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(header + b"\n" + b"".join(groups), np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = NAME.encode(), len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    return write(model)


def scales_in(view: ModelView) -> dict[str, Array]:
    """By tensor, what its channels are scaled by. Raises ValueError on damage."""
    for entry in view.model.metadata or []:
        if entry.name == NAME.encode():
            header, _, stored = bytes(view.model.buffers[entry.buffer].data).partition(b"\n")
            found: dict[str, Array] = {}
            place = 0
            for names, size in json.loads(header):
                values = np.exp2(np.frombuffer(stored, np.int8, size, place) / STEPS).astype(np.float32)
                found |= dict.fromkeys(names, values)
                place += size
            return found
    return {}
