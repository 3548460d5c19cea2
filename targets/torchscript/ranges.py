"""The range of every activation over the calibration samples, and the scale that it gets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgepack.events import Step
from edgepack.precision import ranges as narrower
from edgepack.precision.notes import Note
from edgepack.spec import Arrays, Quantization, Signature
from edgepack.target import Samples

from .graph import calls, is_op, kind
from .kernels import FIXED, PASSING, absorbed
from .logits import outputs
from .observe import observe

Ranges = dict[str, tuple[float, float]]
"""The least and the greatest value of what a node gives, by the node's name in the graph."""

SMALLEST_SCALE = 2.0**-30


def quantization(extent: tuple[float, float]) -> Quantization:
    """The scale and zero point that spread 256 steps over a range; zero is always one of them, as padding needs it."""
    low, high = min(extent[0], 0.0), max(extent[1], 0.0)
    scale = max((high - low) / 255, SMALLEST_SCALE)
    return Quantization(scale, int(min(max(round(-low / scale), 0), 255)))


def calibrate(
    module: GraphModule, signature: Signature, nodes: set[str], samples: Samples, step: Step
) -> Ranges:
    """The ranges of these nodes: the float graph run over the samples, one in memory at a time."""
    ranges: Ranges = {}

    def see(name: str, values: torch.Tensor) -> None:
        if values.numel():
            low, high = (edge.item() for edge in torch.aminmax(values))
            least, most = ranges.get(name, (low, high))
            ranges[name] = (min(low, least), max(high, most))

    observe(module, signature, step.track(samples, len(samples)), nodes, see)
    return ranges


def narrowed(
    module: GraphModule, signature: Signature, ranges: Ranges, fit: Iterable[Arrays], check: Iterable[Arrays]
) -> tuple[Ranges, list[Note]]:
    """The ranges, narrower where that errs less on samples that it was not fitted to; and a note for each of these.

    What an output is read from keeps its whole range.
    """
    names = {node.name: str(node.meta["name"]) for node in calls(module) if "name" in node.meta}
    edges = {name: (min(low, 0.0), max(high, 0.0)) for name, (low, high) in ranges.items()}
    wanted = {node.name: edges[node.name] for node in _with_scales(module) if node.name in edges}

    def see(samples: Iterable[Arrays], nodes: Iterable[str], show: narrower.See) -> None:
        observe(module, signature, samples, set(nodes), lambda name, values: show(name, values.numpy()))

    found, notes = narrower.narrowed(see, wanted, fit, check)
    return {**ranges, **found}, [replace(note, where=names[note.where]) for note in notes]


def _with_scales(module: GraphModule) -> Iterator[Node]:
    """The ops whose results have a scale of their own, but for the model's outputs."""
    clamps, given = set(absorbed(module).values()), set[Node]()
    for output in outputs(module):
        node: Any = output
        given.add(node)
        while kind(node) in PASSING and node not in clamps:
            node = node.args[0]
            given.add(node)
    for node in calls(module):
        if is_op(node) and node not in given and (node in clamps or kind(node) not in PASSING | FIXED.keys()):
            yield node
