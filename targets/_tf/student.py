"""A Keras model that is made smaller (see edgepack.compress.student).

It is the original itself, not a copy, as not every Keras model can be copied: the teacher is the same layers with their
first values. Held weights are shadowed by what learning moves; each step shows the layers the nearest weights allowed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from edgepack.compress import cluster, lockstep
from edgepack.compress.lockstep import Halting, Stop
from edgepack.compress.recover import Moments, Sums
from edgepack.compress.student import Hold
from edgepack.spec import Array, Arrays, Signature

from . import layers as shapes
from . import low_rank
from .loss import loss
from .stacking import can_stack

if TYPE_CHECKING:
    from .._keras.function import Function
    from .model import TFModel

STACK = 16
"""Samples that are computed together, where the model can."""


class KerasStudent:
    """See edgepack.compress.student.Student.

    Args:
        rebuild: the model of the same layers, or of another Keras model's.
        taught_by: one that is the teacher still, where this one's layers are others.
    """

    def __init__(
        self,
        function: Function,
        signature: Signature,
        rebuild: Callable[..., TFModel],
        taught_by: KerasStudent | None = None,
    ) -> None:
        self._function, self._signature, self._rebuild = function, signature, rebuild
        model: Any = function.keep
        model.trainable = True
        found = shapes.found(model, lambda: self._call(*self._example()))
        self._found: dict[str, Any] = {layer.name: weight for layer, weight in found}
        self.layers = tuple(layer for layer, _ in found)
        self._widths = {layer.name: layer.shape[1] for layer in self.layers}
        self._begin(model.variables, model.trainable_variables, taught_by)

    def _begin(
        self, variables: Sequence[Any], trainable: Sequence[Any], taught_by: KerasStudent | None = None
    ) -> None:
        """With all that has a state, and what of it learns."""
        self._taught_by = taught_by
        self._variables, self._trainable = list(variables), list(trainable)
        self._original = [each.numpy() for each in self._variables]
        self._stacks = self._can_stack()
        self._holds: dict[str, Hold] = {}
        self._optimiser: Any = None
        self._shadows: dict[str, Any] = {}
        self._graphs: dict[tuple[str, ...], Any] = {}

    def teach(self, inputs: Arrays) -> dict[str, Array]:
        if self._taught_by is not None:
            return self._taught_by(inputs)
        with self._as_teacher():
            return self(inputs)

    def weight(self, name: str) -> Array:
        weight: Array = self._found[name].matrix()
        return weight

    def change(self, name: str, weight: Array, shift: Array | None = None) -> None:
        own = self._found[name]
        own.variable.assign(own.stored(weight))
        if shift is not None:
            own.shift(shift)

    def moments(self, names: Sequence[str], samples: Iterable[Arrays]) -> dict[str, Moments]:
        inputs_of = self._inputs_of(tuple(names))
        sums = {name: Sums() for name in names}
        for stack in self._stacked(samples):
            own = inputs_of(stack)
            with self._as_teacher():
                taught = inputs_of(stack)
            for name, x, t in zip(names, own, taught, strict=True):
                sums[name].add(x.numpy(), t.numpy())
        return {name: each.moments() for name, each in sums.items()}

    def walk(self, names: Sequence[str], samples: Sequence[Arrays]) -> Iterator[tuple[str, Moments]]:
        layers = {name: self._found[name].layer for name in names}
        chosen = {id(layer): name for name, layer in layers.items()}
        with shapes.watching(list(layers.values())) as seen:
            self._call(*self._example())
        calls = {chosen[each]: [tf.size(fed) for fed, _ in noted] for each, noted in seen.items()}
        once = [name for name in names if len(calls[name]) == 1]
        largest = 4 * max(int(max(each)) for each in calls.values())
        fitting = lockstep.fitting(samples, largest, STACK if self._stacks else 1)
        own = threading.local()

        def halt(layer: Any, fed: Any, compute: Callable[[], Any]) -> Any:
            if hasattr(own, "stop"):  # another thread computes for itself meanwhile
                name = chosen[id(layer)]
                own.stop(name, lambda: shapes.unfolded(layer, fed, self._widths[name]).numpy())
            return compute()

        def run(stack: list[Any], stop: Stop) -> None:
            own.stop = stop
            self._call(*stack)

        runs = [
            (Halting(partial(run, stack)), Halting(partial(run, stack))) for stack in self._stacked(fitting)
        ]
        anew = {name: partial(self._anew, name, samples) for name in names if name not in once}
        found = lockstep.moments(names, runs, self._as_teacher, anew)
        with shapes.calling([layers[name] for name in once], halt), closing(found):
            yield from found

    def _anew(self, name: str, samples: Sequence[Arrays]) -> Moments:
        return self.moments([name], samples)[name]

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        outputs = self._answer(self._tensors([inputs]))
        return {
            spec.name: value.numpy() for spec, value in zip(self._signature.outputs, outputs, strict=True)
        }

    def hold(self, holds: Mapping[str, Hold]) -> None:
        self._holds = dict(holds)
        self._shadows = {name: keras.Variable(self._found[name].variable) for name in holds}
        self._optimiser = keras.optimizers.Adam(global_clipnorm=1.0)
        self._optimiser.build(self._moved())

    def release(self) -> None:
        self._holds, self._shadows, self._optimiser = {}, {}, None

    def learn(self, batch: Sequence[Arrays], rate: float) -> float:
        stacks = [batch] if self._stacks else [[sample] for sample in batch]
        total, sums = 0.0, None
        for stack in map(self._tensors, stacks):
            taught, wanted = self._taught(stack)
            value, gradients = self._gradients(stack, taught, wanted)
            total += float(value) / len(stacks)
            parts = [each / len(stacks) for each in gradients]
            sums = parts if sums is None else [a + b for a, b in zip(sums, parts, strict=True)]
        if np.isfinite(total):
            self._optimiser.learning_rate = rate
            self._optimiser.apply(sums, self._moved())
            self._show()
        return total

    def save(self, path: Path) -> None:
        moving = [*self._shadows.values(), *(self._optimiser.variables if self._optimiser else [])]
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, *(each.numpy() for each in [*self._variables, *moving]))
        partial.replace(path)

    def restore(self, path: Path) -> None:
        moving = [*self._shadows.values(), *(self._optimiser.variables if self._optimiser else [])]
        with np.load(path, allow_pickle=False) as state:
            for variable, name in zip([*self._variables, *moving], state.files, strict=False):
                variable.assign(state[name])

    def split(self, factors: Mapping[str, tuple[Array, Array]]) -> KerasStudent:
        own = {id(self._found[name].layer): pair for name, pair in factors.items()}
        made = self._rebuild(low_rank.split(self._function.keep, own))
        return made.student(self)

    def model(self) -> TFModel:
        self.release()
        return self._rebuild()

    def _moved(self) -> list[Any]:
        """What learning moves: the shadow in place of a held kernel."""
        held = {id(self._found[name].variable): shadow for name, shadow in self._shadows.items()}
        return [held.get(id(each), each) for each in self._trainable]

    def _show(self) -> None:
        """Give held layers the nearest weights to their shadows that they may have."""
        for name, hold in self._holds.items():
            own = self._found[name]
            weight = own.matrix(self._shadows[name].numpy())
            if hold.codes is not None and hold.scales is not None:
                codes = hold.codes if hold.mask is None else hold.codes[hold.codes != 0]
                weight = codes[cluster.nearest(weight / hold.scales, codes)] * hold.scales
            if hold.mask is not None:
                weight = weight * hold.mask
            own.variable.assign(own.stored(weight))

    @contextmanager
    def _as_teacher(self) -> Iterator[None]:
        """Meanwhile the layers have their first values."""
        now = [each.numpy() for each in self._variables]
        try:
            for variable, value in zip(self._variables, self._original, strict=True):
                variable.assign(value)
            yield
        finally:
            for variable, value in zip(self._variables, now, strict=True):
                variable.assign(value)

    def _answer(self, tensors: Sequence[Any]) -> list[Any]:
        return list(self._traced("answer", self._call)(*tensors))

    def _call(self, *tensors: Any) -> list[Any]:
        names = (spec.name for spec in self._signature.inputs)
        return list(self._function.call(dict(zip(names, tensors, strict=True))).values())

    def _inputs_of(self, names: tuple[str, ...]) -> Callable[[Sequence[Any]], list[Any]]:
        chosen = {name: self._found[name].layer for name in names}

        def inputs(*tensors: Any) -> list[Any]:
            with shapes.watching(list(chosen.values())) as seen:
                self._call(*tensors)
            return [
                tf.concat([shapes.unfolded(each, fed, self._widths[name]) for fed, _ in seen[id(each)]], 0)
                for name, each in chosen.items()
            ]

        traced = tf.function(inputs, autograph=False)
        return lambda stack: list(traced(*stack))

    def _seen(self, tensors: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """(answers, what held layers give)."""
        answers, features = self._traced("seen", self._watched)(*tensors)
        return list(answers), list(features)

    def _taught(self, tensors: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """(the teacher's answers, what its held layers give; of layers that are others, nothing)."""
        if self._taught_by is not None:
            return self._taught_by._answer(tensors), []
        with self._as_teacher():
            return self._seen(tensors)

    def _watched(self, *tensors: Any) -> tuple[list[Any], list[Any]]:
        shown = [self._found[name] for name in self._holds] if self._taught_by is None else []
        chosen = [each.layer for each in shown if each.is_fed]
        with shapes.watching(chosen) as seen:
            answers = self._call(*tensors)
        return answers, [given for each in chosen for _, given in seen[id(each)]]

    def _gradients(self, tensors: Sequence[Any], taught: list[Any], wanted: list[Any]) -> Any:
        variables = self._trainable

        def gradients(tensors: Any, taught: Any, wanted: Any) -> Any:
            with tf.GradientTape() as tape:
                answers, features = self._watched(*tensors)
                value = loss(answers, taught, features, wanted)
            found = tape.gradient(value, [each.value for each in variables])
            return value, [
                tf.zeros_like(each.value) if own is None else tf.convert_to_tensor(own)
                for each, own in zip(variables, found, strict=True)
            ]

        return self._traced("gradients", gradients)(list(tensors), taught, wanted)

    def _traced(self, name: str, call: Callable[..., Any]) -> Any:
        """One graph for as long as the same layers are held."""
        key = (name, *self._holds)
        if key not in self._graphs:
            self._graphs[key] = tf.function(call, autograph=False)
        return self._graphs[key]

    def _tensors(self, stack: Sequence[Arrays]) -> list[Any]:
        return [
            tf.constant(np.concatenate([sample[spec.name] for sample in stack]), spec.dtype)
            for spec in self._signature.inputs
        ]

    def _stacked(self, samples: Iterable[Arrays]) -> Iterator[list[Any]]:
        rest = iter(samples)
        while stack := list(islice(rest, STACK if self._stacks else 1)):
            yield self._tensors(stack)

    def _example(self) -> list[Any]:
        rng = np.random.default_rng(0)
        return [tf.cast(rng.uniform(0, 2, spec.static_shape), spec.dtype) for spec in self._signature.inputs]

    def _can_stack(self) -> bool:
        return can_stack(self._call, self._example())
