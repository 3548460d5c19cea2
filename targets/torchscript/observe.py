"""What a graph's nodes give on the way, in float: one sample, one node in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node

from edgepack.spec import Arrays, Signature

See = Callable[[str, torch.Tensor], None]


def observe(
    module: GraphModule, signature: Signature, samples: Iterable[Arrays], wanted: Collection[str], see: See
) -> None:
    """Run the graph and show ``see`` the tensor that each wanted node, by its name in the graph, gives for each sample."""
    interpreter = _Interpreter(module, frozenset(wanted), see)
    with torch.no_grad():
        for sample in samples:
            interpreter.run(*(torch.from_numpy(sample[spec.name]) for spec in signature.inputs))


class _Interpreter(Interpreter):
    def __init__(self, module: GraphModule, wanted: frozenset[str], see: See) -> None:
        super().__init__(module)
        self._wanted, self._see = wanted, see

    def run_node(self, n: Node) -> Any:
        found = super().run_node(n)
        if n.name in self._wanted and isinstance(found, torch.Tensor):
            self._see(n.name, found)
        return found
