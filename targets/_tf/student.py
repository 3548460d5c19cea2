"""A Keras model that is made smaller (see edgepack.compress.student).

It is the original itself, not a copy, as not every Keras model can be copied: the teacher is the same layers with their
first values. Held weights are shadowed by what learning moves; each step shows the layers the nearest weights allowed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from edgepack.compress import lockstep
from edgepack.compress.lockstep import Halting, Pair, Stop
from edgepack.compress.recover import Moments, Sums
from edgepack.compress.student import Group, Hold
from edgepack.spec import Array, Arrays, Signature

from .._keras.source import symbolic
from . import layers as shapes
from . import low_rank
from .calls import calling, input_bytes, watching
from .channels import Channels
from .held import Held
from .loss import loss
from .stacking import can_stack
from .towards import slopes, towards

if TYPE_CHECKING:
    from .._keras.function import Function
    from .model import TFModel

STACK = 16
"""Samples that are computed together, where the model can."""


class KerasStudent:
    """See edgepack.compress.student.Student.

    Args:
        rebuild: the model of the same function, or of another.
        taught_by: one that is the teacher still, where this one's layers are others.
    """

    def __init__(
        self,
        function: Function,
        signature: Signature,
        rebuild: Callable[[Function | None], TFModel],
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
        self._together = STACK if self._can_stack() else 1
        self._holds: dict[str, Hold] = {}
        self._held: Held | None = None
        self._graphs: dict[tuple[str, ...], Any] = {}
        self._channels: Channels | None = None
        self._slim: TFModel | None = None

    def teach(self, inputs: Arrays) -> dict[str, Array]:
        if self._taught_by is not None:
            return self._taught_by(inputs)
        with self._as_teacher():
            return self(inputs)

    def towards(
        self, samples: Sequence[Arrays], output: str, classes: Sequence[int]
    ) -> list[dict[str, Array]]:
        if self._taught_by is not None:
            return self._taught_by.towards(samples, output, classes)
        gradients = self._traced(f"towards {output}", slopes(self._call, self._signature, output))
        with self._as_teacher():
            return towards(gradients, self._signature, self._stacked(samples), classes)

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
        own = threading.local()

        def at(layer: Any, fed: Any, compute: Callable[[], Any]) -> Any:
            name = chosen[id(layer)]
            if name in getattr(own, "once", ()):  # else it is this thread that computes something meanwhile
                own.stop(name, lambda: shapes.unfolded(layer, fed, self._widths[name]).numpy())
            return compute()

        def run(once: Sequence[str], stack: list[Any], stop: Stop) -> None:
            own.once, own.stop = once, stop
            self._call(*stack)

        def begin(once: Sequence[str], some: Sequence[Arrays]) -> list[Pair]:
            computations = [partial(run, once, stack) for stack in self._stacked(some)]
            return [(Halting(each), Halting(each)) for each in computations]

        def anew(name: str) -> Moments:
            return self.moments([name], samples)[name]

        sizes = input_bytes(layers, lambda: self._call(*self._example()))
        with calling(list(layers.values()), at):
            yield from lockstep.walk(names, samples, begin, anew, sizes, self._together, self._as_teacher)

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        if self._slim:
            return self._slim(inputs)
        outputs = self._answer(self._tensors([inputs]))
        return {
            spec.name: value.numpy() for spec, value in zip(self._signature.outputs, outputs, strict=True)
        }

    def hold(self, holds: Mapping[str, Hold]) -> None:
        self._holds = dict(holds)
        self._held = Held(holds, self._found, self._trainable)

    def release(self) -> None:
        self._holds, self._held = {}, None

    def learn(self, batch: Sequence[Arrays], rate: float) -> float:
        assert self._held is not None
        stacks = [batch] if self._together > 1 else [[sample] for sample in batch]
        total, sums = 0.0, [0.0] * len(self._trainable)
        for stack in map(self._tensors, stacks):
            taught, wanted = self._taught(stack)
            value, gradients = self._gradients(stack, taught, wanted)
            total += float(value) / len(stacks)
            sums = [a + b / len(stacks) for a, b in zip(sums, gradients, strict=True)]
        if np.isfinite(total):
            self._held.step(sums, rate)
        return total

    def save(self, path: Path) -> None:
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, *(each.numpy() for each in self._state()))
        partial.replace(path)

    def restore(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as state:
            for variable, name in zip(self._state(), state.files, strict=False):
                variable.assign(state[name])

    def _state(self) -> list[Any]:
        return [*self._variables, *(self._held.state if self._held else [])]

    def split(self, factors: Mapping[str, tuple[Array, Array]]) -> KerasStudent:
        own = {id(self._found[name].layer): pair for name, pair in factors.items()}
        made = self._rebuild(symbolic(low_rank.split(self._function.keep, own)))
        return made.student(self)

    def groups(self) -> tuple[Group, ...]:
        plain = {name: own.layer for name, own in self._found.items() if own.is_plain}
        self._channels = Channels(self._function.keep, plain, self._signature)
        return tuple(self._channels.groups)

    def slim(self, gone: Mapping[Group, Array]) -> None:
        assert self._channels is not None
        slim, anew = self._channels.slim(gone)
        self._slim = self._rebuild(symbolic(slim))
        self._found = {name: own.in_place_of(anew.get(id(own.layer))) for name, own in self._found.items()}
        self.layers = tuple(replace(each, shape=self.weight(each.name).shape) for each in self.layers)

    def model(self) -> TFModel:
        self.release()
        return self._slim or self._rebuild(None)

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
            with watching(list(chosen.values())) as seen:
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
        with watching(chosen) as seen:
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
        while stack := list(islice(rest, self._together)):
            yield self._tensors(stack)

    def _example(self) -> list[Any]:
        rng = np.random.default_rng(0)
        return [tf.cast(rng.uniform(0, 2, spec.static_shape), spec.dtype) for spec in self._signature.inputs]

    def _can_stack(self) -> bool:
        return can_stack(self._call, self._example())
