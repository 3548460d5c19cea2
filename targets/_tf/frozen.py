"""A source as one graph whose variables are constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.python.eager.wrap_function import function_from_graph_def

from edgepack.errors import ModelError
from edgepack.spec import Array, Signature

from .constants import Site


@dataclass(frozen=True)
class Frozen:
    """A concrete function with its variables as constants; its inputs and outputs in the order of the signature.

    Attributes:
        retrace: the same with the batch open; ``None`` where the source, or a --shape, fixes every input's.
    """

    concrete: Any
    signature: Signature
    retrace: Callable[[], Frozen] | None = None

    def open_batch(self) -> Frozen:
        """With an unknown batch in every input whose source leaves it open; itself where there is none.

        Raises:
            ModelError: the model computes with the batch's size, so that its shapes are only known for one size.
        """
        return self.retrace() if self.retrace else self

    def with_constants(self, values: Mapping[Site, Array]) -> Frozen:
        """The same with other values in some constants. Raises ModelError."""
        try:
            named = {site.origin(self.concrete.graph).name: each for site, each in values.items()}
        except KeyError as error:
            raise ModelError(
                f"The model's graph is another one when its batch is open, so what was made smaller has no place: {error}.",
                "Fix the batch: --shape NAME=1x... for every input.",
            ) from error
        graph = self.concrete.graph.as_graph_def()
        for node in graph.node:
            if node.name in named:
                node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(named[node.name]))
        inputs = [each.name for each in self.concrete.inputs]
        concrete = function_from_graph_def(graph, inputs, [each.name for each in self.concrete.outputs])
        retrace = self.retrace
        again = None if retrace is None else lambda: retrace().with_constants(values)
        return Frozen(concrete, self.signature, again)
