"""The range of every activation over the calibration samples, and the scale that it gets."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node

from edgepack.events import Step
from edgepack.spec import Quantization, Signature
from edgepack.target import Samples

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
    observer = _Observer(module, nodes)
    with torch.no_grad():
        for sample in step.track(samples, len(samples)):
            observer.run(*(torch.from_numpy(sample[spec.name]) for spec in signature.inputs))
    return observer.ranges


class _Observer(Interpreter):
    def __init__(self, module: GraphModule, nodes: set[str]) -> None:
        super().__init__(module)
        self.ranges: Ranges = {}
        self._nodes = nodes

    def run_node(self, n: Node) -> Any:
        found = super().run_node(n)
        if n.name in self._nodes and isinstance(found, torch.Tensor) and n.op != "get_attr" and found.numel():
            low, high = (edge.item() for edge in torch.aminmax(found))
            least, most = self.ranges.get(n.name, (low, high))
            self.ranges[n.name] = (min(low, least), max(high, most))
        return found
