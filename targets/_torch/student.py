"""A copy of a PyTorch model that is made smaller (see edgepack.compress.student)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.utils import parametrize

from edgepack.compress import lockstep
from edgepack.compress.coupling import Coupled
from edgepack.compress.distil import spans
from edgepack.compress.lockstep import Halting, Pair
from edgepack.compress.recover import Moments, Sums
from edgepack.compress.student import Group, Hold
from edgepack.errors import ModelError
from edgepack.spec import Array, Arrays

from . import channels
from .layers import Coded, Masked, described, halt, input_bytes, inputs
from .loss import Feature, loss

if TYPE_CHECKING:
    from .model import TorchModel

STACK = 16
"""Samples that are computed together, where the model can."""


class TorchStudent:
    """See edgepack.compress.student.Student. Raises ModelError where the module has no layers."""

    def __init__(self, original: TorchModel) -> None:
        self._original = original
        program = original.form("torch")
        self._teacher = program.module
        try:
            self._module = copy.deepcopy(program.module)
        except Exception as error:
            raise ModelError(
                f"The module cannot be copied, as compression needs it: {error}.",
                "Return one that copy.deepcopy takes.",
            ) from error
        with torch.no_grad():
            self.layers = described(self._module, program.example)
        if not self.layers:
            raise ModelError(
                "The source has no layers that compression can see: it is a graph of operations.",
                "Give the torch.nn.Module itself, by a file.py:factory. A Keras model is compressed for targets that take "
                "TensorFlow's.",
            )
        self._holds: dict[str, Hold] = {}
        self._coupled: dict[Group, Coupled] = {}
        self._together = STACK if self._can_stack(program.example) else 1
        self._optimiser: torch.optim.Optimizer | None = None

    def teach(self, inputs: Arrays) -> dict[str, Array]:
        return self._original(inputs)

    def weight(self, name: str) -> Array:
        weight = self._layer(name).weight.detach()
        return np.asarray(weight.reshape(len(weight), -1).numpy().copy())

    def change(self, name: str, weight: Array, shift: Array | None = None) -> None:
        layer = self._layer(name)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight).reshape(layer.weight.shape))
            if shift is not None:
                self._give_bias(name)
                layer.bias += torch.from_numpy(shift)

    def moments(self, names: Sequence[str], samples: Iterable[Arrays]) -> dict[str, Moments]:
        calls = {name: len(each) for name, each in self._input_bytes(names).items()}
        sums = {name: Sums() for name in names}
        for stack in self._stacked(samples):
            taught, own = inputs(self._teacher, calls, stack), inputs(self._module, calls, stack)
            for name in names:
                sums[name].add(own[name].numpy(), taught[name].numpy())
        return {name: each.moments() for name, each in sums.items()}

    def walk(self, names: Sequence[str], samples: Sequence[Arrays]) -> Iterator[tuple[str, Moments]]:
        for name in names:
            self._give_bias(name)  # a run that is under way would not see one that comes later

        def begin(once: Sequence[str], some: Sequence[Arrays]) -> list[Pair]:
            def halting(module: torch.nn.Module, stack: tuple[torch.Tensor, ...]) -> Halting:
                return Halting(partial(halt, module, once, stack))

            return [
                (halting(self._module, stack), halting(self._teacher, stack)) for stack in self._stacked(some)
            ]

        def anew(name: str) -> Moments:
            return self.moments([name], samples)[name]

        return lockstep.walk(names, samples, begin, anew, self._input_bytes(names), self._together)

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        with torch.no_grad():
            outputs = self._module(*self._tensors([inputs]))
        specs = self._original.signature.outputs
        return {spec.name: value.numpy() for spec, value in zip(specs, outputs, strict=True)}

    def hold(self, holds: Mapping[str, Hold]) -> None:
        self.release()
        self._holds = dict(holds)
        for name, hold in holds.items():
            layer = self._layer(name)
            if hold.codes is not None:
                parametrize.register_parametrization(layer, "weight", Coded(hold, layer.weight), unsafe=True)
            elif hold.mask is not None:
                parametrize.register_parametrization(layer, "weight", Masked(hold, layer.weight), unsafe=True)
        trained = [each for each in self._module.parameters() if each.dtype == torch.float32]
        for parameter in trained:
            parameter.requires_grad_(True)
        relative = spans([each.detach().numpy() for each in trained])
        self._optimiser = torch.optim.Adam(
            [{"params": [each], "span": own} for each, own in zip(trained, relative, strict=True)]
        )

    def learn(self, batch: Sequence[Arrays], rate: float) -> float:
        assert self._optimiser is not None
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["span"]
        total = 0.0
        self._optimiser.zero_grad()
        stacks = [batch] if self._together > 1 else [[sample] for sample in batch]
        for stack in stacks:
            tensors = self._tensors(stack)
            with torch.no_grad():
                taught, wanted = Feature.record(self._teacher, list(self._holds), tensors)
            answers, features = Feature.record(self._module, list(self._holds), tensors)
            value = loss(answers, taught, features, wanted) / len(stacks)
            value.backward()  # type: ignore[no-untyped-call]
            total += value.item()
        if np.isfinite(total):
            torch.nn.utils.clip_grad_norm_(self._module.parameters(), 1.0)
            self._optimiser.step()
        return total

    def save(self, path: Path) -> None:
        optimiser = self._optimiser.state_dict() if self._optimiser else None
        partial = path.with_suffix(".partial")
        torch.save({"module": self._module.state_dict(), "optimiser": optimiser}, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        for layer in self.layers:
            if f"{layer.name}.bias" in state["module"]:
                self._give_bias(layer.name)
        self._module.load_state_dict(state["module"])
        if self._optimiser and state["optimiser"]:
            self._optimiser.load_state_dict(state["optimiser"])

    def groups(self) -> tuple[Group, ...]:
        for layer in self.layers:
            self._give_bias(layer.name)  # before its channels are followed, or it would not be found there
        program = self._original.form("torch")
        self._coupled = channels.groups(self._module, program.example, self.layers)
        return tuple(self._coupled)

    def slim(self, gone: Mapping[Group, Array]) -> None:
        channels.slim(self._module, [(self._coupled[group], each) for group, each in gone.items()])
        with torch.no_grad():
            self.layers = described(self._module, self._original.form("torch").example)

    def model(self) -> TorchModel:
        self.release()
        program = self._original.form("torch")
        return self._original.with_program(replace(program, module=self._module))

    def release(self) -> None:
        """Plain weights again, as they compute now."""
        for layer in map(self._layer, self._holds):
            if parametrize.is_parametrized(layer):
                parametrize.remove_parametrizations(layer, "weight")
        self._holds = {}
        for parameter in self._module.parameters():
            parameter.requires_grad_(False)
        self._optimiser = None

    def _input_bytes(self, names: Sequence[str]) -> dict[str, list[int]]:
        return input_bytes(self._module, names, self._original.form("torch").example)

    def _layer(self, name: str) -> Any:
        return self._module.get_submodule(name)

    def _give_bias(self, name: str) -> None:
        layer = self._layer(name)
        if layer.bias is None:
            layer.bias = torch.nn.Parameter(torch.zeros(len(layer.weight)), requires_grad=False)

    def _tensors(self, stack: Sequence[Arrays]) -> tuple[torch.Tensor, ...]:
        return tuple(
            torch.tensor(
                np.concatenate([sample[spec.name] for sample in stack]), dtype=getattr(torch, spec.dtype)
            )
            for spec in self._original.signature.inputs
        )

    def _stacked(self, samples: Iterable[Arrays]) -> Iterator[tuple[torch.Tensor, ...]]:
        rest = iter(samples)
        while stack := list(islice(rest, self._together)):
            yield self._tensors(stack)

    def _can_stack(self, example: tuple[torch.Tensor, ...]) -> bool:
        """Whether two samples computed together give what each gives alone."""
        if not all(each.ndim and len(each) == 1 for each in example):
            return False
        try:
            with torch.no_grad():
                alone = self._module(*example)
                both = self._module(*(torch.cat([each, each]) for each in example))
        except Exception:  # a reshape to a batch of 1, say: then one after the other
            return False
        return all(
            len(two) == 2 * len(one) and torch.allclose(two, torch.cat([one, one]), rtol=1e-3, atol=1e-4)
            for one, two in zip(alone, both, strict=True)
            if one.ndim
        ) and all(one.ndim for one in alone)
