"""How large a model is: its layers' weights, zeros and multiplications, its artifact's bytes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..target import Artifact
from .cluster import distinct
from .student import Kind, Student


@dataclass(frozen=True)
class LayerSize:
    """A layer as it is now.

    Attributes:
        values: how many its weights have, beside the scale of their channel.
        macs: multiplications and additions for one sample, zeros counted like other weights.
    """

    name: str
    kind: Kind
    weights: int
    zeros: int
    values: int
    macs: int


def layer_sizes(student: Student) -> tuple[LayerSize, ...]:
    """Of all layers, in the order in which they first compute."""
    found = []
    for layer in student.layers:
        weight = student.weight(layer.name)
        zeros = int((weight == 0).sum())
        found.append(LayerSize(layer.name, layer.kind, weight.size, zeros, distinct(weight), layer.macs))
    return tuple(found)


def total(layers: Sequence[LayerSize]) -> dict[str, float]:
    """Of all layers together, by the names that a manifest has."""
    return {
        "weights": sum(each.weights for each in layers),
        "zeros": sum(each.zeros for each in layers),
        "macs": sum(each.macs for each in layers),
    }


def zipped(artifact: Artifact) -> int:
    """The bytes of its files, each deflated as in a .zip, an app or a gzip download."""
    return deflated(artifact.folder / name for name in artifact.files)


def deflated(files: Iterable[Path]) -> int:
    """The bytes of files, each by itself, at zlib's best."""
    return sum(len(zlib.compress(path.read_bytes(), 9)) for path in files)
