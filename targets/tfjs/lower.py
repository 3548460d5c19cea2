"""A model as a TF.js graph in float, from which every precision of its weights is emitted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import tensorflow as tf

from edgepack import __version__
from edgepack.errors import ModelError
from edgepack.events import warn
from edgepack.spec import Precision
from edgepack.target import Artifact, Op, Plan

from .._tf.frozen import Frozen
from .graph import Graph, convert
from .nodes import node_of
from .weights import fidelity, is_quantizable, limits, store, write

FILE = "model.json"
PRECISIONS = (Precision.INT8, Precision.FLOAT16, Precision.INT16, Precision.FLOAT32)
"""Roughest first: float16 errs by 5e-4 of each value, int16 by 8e-6 of the greatest."""

MOST_BYTES = 2**31 - 2**24
"""Of all weights. A page holds them in one array, and TensorFlow hands over a graph in one message; both end at 2 GB."""

PASSING = {"Identity", "Enter", "Merge", "Switch"}
"""What a weight passes on its way into a loop."""
CARRIERS = PASSING | {"Exit", "NextIteration"}

BOUNDARY = {"Const", "Placeholder", "NoOp"}


def lower(frozen: Frozen) -> TFJSLowering:
    """The lowering of a frozen function, its batch open where the source's is. Raises ModelError.

    A model that can only be traced or run with a batch of one keeps it, with a warning.
    """
    _check_size(frozen)
    if frozen.retrace is None:
        return TFJSLowering(convert(frozen))
    try:
        return TFJSLowering(convert(frozen.open_batch()))
    except ModelError as error:
        lowering = TFJSLowering(convert(frozen))
        warn(f"The bundle takes one sample at a time; for an open batch: {error.message}")
        return lowering


def _check_size(frozen: Frozen) -> None:
    constants = (op.outputs[0] for op in frozen.concrete.graph.get_operations() if op.type == "Const")
    sizes = {tensor.op.name: tensor.shape.num_elements() * tensor.dtype.size for tensor in constants}
    if sum(sizes.values()) > MOST_BYTES:
        largest = max(sizes, key=lambda name: sizes[name])
        raise ModelError(
            f"The weights have {sum(sizes.values()) / 1e9:.1f} GB, more than a web page can hold; "
            f"the largest is '{largest}' with {sizes[largest] / 1e9:.1f}.",
            "Give a smaller model; a phone's browser has trouble with hundreds of MB already.",
        )


class TFJSLowering:
    """See edgepack.target.Lowering. What a plan chooses is how weights are stored; all computing is in float."""

    improves: frozenset[Precision] = frozenset()
    notes = ()

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._readers = _weights_by_op(graph)

    @cached_property
    def ops(self) -> tuple[Op, ...]:
        """The ops in the order in which they run; a weight that several share counts for the first."""
        counted: set[str] = set()
        found = []
        for node in self.graph.topology.node:
            if node.op in BOUNDARY:
                continue
            names = self._readers.get(node.name, [])
            own = [self.graph.weights[name] for name in names if name not in counted]
            counted.update(names)
            large = [name for name in names if is_quantizable(self.graph.weights[name])]
            cannot = self._limits(large)
            found.append(
                Op(
                    node.name,
                    node.op,
                    sum(value.nbytes for value in own),
                    frozenset(PRECISIONS) - set(cannot),
                    cannot,
                    self._weight_db(large, cannot),
                )
            )
        return tuple(found)

    def _weight_db(self, large: list[str], cannot: Mapping[Precision, str]) -> dict[Precision, float]:
        """How well the worst of an op's weights survives each precision."""
        return {
            precision: min(fidelity(self.graph.weights[name], precision) for name in large)
            for precision in PRECISIONS
            if large and precision not in cannot
        }

    def _limits(self, large: list[str]) -> dict[Precision, str]:
        if not large:
            return dict.fromkeys(PRECISIONS[:-1], "it has no weights, or too few to be worth it")
        return {each: why for name in large for each, why in limits(self.graph.weights[name]).items()}

    def emit(self, plan: Plan, out: Path) -> Artifact:
        """Write ``model.json`` and its shards for a plan into ``out``. A weight takes the best its readers ask for."""
        precisions = self._precisions(plan)
        weights = [
            store(name, value, precisions.get(name, Precision.FLOAT32))
            for name, value in sorted(self.graph.weights.items())
        ]
        manifest, shards = write(weights, out)
        model = {
            "format": "graph-model",
            "generatedBy": tf.__version__,
            "convertedBy": f"edgepack {__version__}",
            **self.graph.as_json(),
            "weightsManifest": manifest,
        }
        (out / FILE).write_text(json.dumps(model, separators=(",", ":"), allow_nan=False))
        return Artifact(out, (FILE, *shards))

    def _precisions(self, plan: Plan) -> Mapping[str, Precision]:
        found: dict[str, Precision] = {}
        for op, names in self._readers.items():
            precision = plan.ops.get(op, plan.default)
            if precision not in PRECISIONS:
                raise ModelError(
                    f"TF.js has no precision {precision.value}.",
                    f"It has {', '.join(each.value for each in PRECISIONS)}.",
                )
            for name in names:
                found[name] = max(found.get(name, precision), precision, key=PRECISIONS.index)
        return found


def _weights_by_op(graph: Graph) -> dict[str, list[str]]:
    """The weights that every op reads, directly or in a loop."""
    nodes = {node.name: node for node in graph.topology.node}

    def weight(tensor: str) -> str | None:
        node = nodes[node_of(tensor)]
        while node.op in PASSING:
            node = nodes[node_of(node.input[0])]
        return str(node.name) if node.op == "Const" else None

    found: dict[str, list[str]] = {}
    for node in nodes.values():
        if node.op in BOUNDARY | CARRIERS:
            continue
        names = [name for tensor in node.input if (name := weight(tensor)) is not None]
        if names:
            found[node.name] = list(dict.fromkeys(names))
    return found
