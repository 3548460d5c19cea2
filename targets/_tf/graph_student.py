"""A graph of TensorFlow's that is made smaller: a SavedModel, a tf.Module. Its constants are variables meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from edgepack.compress.recover import Moments
from edgepack.compress.student import Group
from edgepack.errors import ModelError
from edgepack.spec import Array, Arrays

from . import constants
from .student import KerasStudent

if TYPE_CHECKING:
    from .frozen import Frozen
    from .model import TFModel


class GraphStudent(KerasStudent):
    """See edgepack.compress.student.Student. Raises ModelError where the graph multiplies with no constants."""

    def __init__(self, original: TFModel) -> None:
        self._model_of = original.with_frozen
        self._frozen = original.form("tf")
        self._signature = original.signature
        graph = self._frozen.concrete.graph
        found = list(constants.found(graph))
        if not found:
            raise ModelError(
                "The source has no weights that compression can see.",
                "Give a model that multiplies its inputs with weights.",
            )
        sites = [*(each.site for _, each in found), *(each.bias for _, each in found if each.bias)]
        self._constants = {site: keras.Variable(site.value(graph)) for site in sites}
        self._found = {
            layer.name: replace(each, variable=self._constants[each.site]) for layer, each in found
        }
        self.layers = tuple(layer for layer, _ in found)
        self._run = self._opened().concrete
        variables = list(self._constants.values())
        self._begin(variables, variables)

    def change(self, name: str, weight: Array, shift: Array | None = None) -> None:
        own = self._found[name]
        own.variable.assign(own.stored(weight))
        if shift is not None:
            self._constants[own.bias].assign_add(shift)

    def model(self) -> TFModel:
        self.release()
        values = {site: each.numpy() for site, each in self._constants.items()}
        return self._model_of(self._frozen.with_constants(values))

    def _opened(self) -> Frozen:
        """With the batch open, where it can be, so that samples are computed together."""
        try:
            opened: Frozen = self._frozen.open_batch()
        except ModelError:
            return self._frozen  # its shapes are only known for one size of batch: then one after the other
        names = {op.name for op in opened.concrete.graph.get_operations()}
        used = {site.op for site in self._constants} | {
            op for each in self._found.values() for op in each.ops
        }
        return opened if used <= names else self._frozen

    def _fetching(self, fetches: Sequence[Any]) -> Callable[..., list[Any]]:
        """What these tensors are, from inputs and the variables as they are."""
        graph = self._run.graph
        weights = [site.origin(graph).outputs[0] for site in self._constants]
        pruned = self._run.prune([*self._run.inputs, *weights], list(fetches))

        def fetched(*tensors: Any) -> list[Any]:
            values = map(tf.convert_to_tensor, self._constants.values())
            return list(pruned(*tensors, *values))

        return fetched

    def _can_stack(self) -> bool:
        return self._run is not self._frozen.concrete and super()._can_stack()

    def _call(self, *tensors: Any) -> list[Any]:
        return self._fetching(self._run.outputs)(*tensors)

    def walk(self, names: Sequence[str], samples: Sequence[Arrays]) -> Iterator[tuple[str, Moments]]:
        for name in names:
            yield name, self.moments([name], samples)[name]

    def groups(self) -> tuple[Group, ...]:
        raise ModelError(
            "Channels cannot be removed from a graph of TensorFlow's.",
            "Give the Keras model itself, or use --prune or --cluster.",
        )

    def _ops(self, name: str) -> list[Any]:
        return [self._run.graph.get_operation_by_name(each) for each in self._found[name].ops]

    def _inputs_of(self, names: tuple[str, ...]) -> Callable[[Sequence[Any]], list[Any]]:
        ops = {name: self._ops(name) for name in names}
        fetched = self._fetching([op.inputs[0] for own in ops.values() for op in own])

        def inputs(stack: Sequence[Any]) -> list[Any]:
            given = iter(fetched(*stack))
            return [tf.concat([constants.unfolded(op, next(given)) for op in own], 0) for own in ops.values()]

        return inputs

    def _watched(self, *tensors: Any) -> tuple[list[Any], list[Any]]:
        features = [op.outputs[0] for name in self._holds for op in self._ops(name)]
        outputs = self._run.outputs
        given = self._fetching([*outputs, *features])(*tensors)
        return given[: len(outputs)], given[len(outputs) :]
