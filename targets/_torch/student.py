"""A copy of a PyTorch model that is made smaller (see edgepack.compress.student)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from edgepack.compress.recover import Moments, Sums
from edgepack.compress.student import Hold
from edgepack.errors import ModelError
from edgepack.spec import Array, Arrays

from .held import Held
from .layers import Weight, described, tensor
from .loss import Feature, loss
from .watching import AllSeen, Watch, step_by_step

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
        self._weights = {each.layer.name: each for each in described(self._module, program.example)}
        self.layers = tuple(each.layer for each in self._weights.values())
        if not self.layers:
            raise ModelError(
                "The source has no weights that compression can see.",
                "Give a model that multiplies its inputs with weights.",
            )
        # its interpreter turns AllSeen into an error of its own
        self._scripted = any(isinstance(each, torch.jit.ScriptModule) for each in self._module.modules())
        self._held: dict[str, Held] = {}
        self._features: list[str] = []
        self._stacks = self._can_stack(program.example)
        self._optimiser: torch.optim.Optimizer | None = None

    def teach(self, inputs: Arrays) -> dict[str, Array]:
        return self._original(inputs)

    def weight(self, name: str) -> Array:
        weight = self._weights[name]
        return np.array(weight.matrix(weight.of(self._module).detach()))

    def change(self, name: str, weight: Array, shift: Array | None = None) -> None:
        own = self._weights[name]
        stored = own.of(self._module)
        with torch.no_grad():
            stored.copy_(own.stored(weight, stored))
            if shift is not None:
                self._bias(own).add_(torch.from_numpy(shift))

    def moments(self, names: Sequence[str], samples: Iterable[Arrays]) -> dict[str, Moments]:
        sums = {name: Sums() for name in names}
        with torch.no_grad():
            for stack in self._stacked(samples):
                taught = self._inputs_of(self._teacher, names, stack)
                own = self._inputs_of(self._module, names, stack)
                for name in names:
                    sums[name].add(own[name].numpy(), taught[name].numpy())
        return {name: each.moments() for name, each in sums.items()}

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        with torch.no_grad():
            outputs = self._module(*self._tensors([inputs]))
        specs = self._original.signature.outputs
        return {spec.name: value.numpy() for spec, value in zip(specs, outputs, strict=True)}

    def hold(self, holds: Mapping[str, Hold]) -> None:
        self.release()
        chosen = {name: self._weights[name] for name in holds}
        self._held = {name: Held(each.of(self._module), each, holds[name]) for name, each in chosen.items()}
        self._features = [name for name, each in chosen.items() if each.is_output]
        trained: dict[int, torch.Tensor] = {
            id(each): each for each in self._module.parameters() if each.dtype == torch.float32
        }
        trained |= {id(own): own for own in (each.of(self._module) for each in chosen.values())}
        for each in trained.values():
            each.requires_grad_(True)
        shadows = {id(chosen[name].of(self._module)): each.shadow for name, each in self._held.items()}
        self._optimiser = torch.optim.Adam([shadows.get(place, each) for place, each in trained.items()])

    def learn(self, batch: Sequence[Arrays], rate: float) -> float:
        assert self._optimiser is not None
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        total = 0.0
        self._optimiser.zero_grad()
        stacks = [batch] if self._stacks else [[sample] for sample in batch]
        for stack in stacks:
            tensors = self._tensors(stack)
            with torch.no_grad():
                taught, wanted = Feature.record(self._teacher, self._features, tensors)
            answers, features = Feature.record(self._module, self._features, tensors)
            value = loss(answers, taught, features, wanted) / len(stacks)
            value.backward()  # type: ignore[no-untyped-call]
            total += value.item()
        if np.isfinite(total):
            for held in self._held.values():
                held.take_gradient()
            moved = [each for group in self._optimiser.param_groups for each in group["params"]]
            torch.nn.utils.clip_grad_norm_(moved, 1.0)
            self._optimiser.step()
            for held in self._held.values():
                held.show()
        return total

    def save(self, path: Path) -> None:
        partial = path.with_suffix(".partial")
        state = {
            "module": self._module.state_dict(),
            "shadows": {name: held.shadow.detach() for name, held in self._held.items()},
            "optimiser": self._optimiser.state_dict() if self._optimiser else None,
        }
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        for weight in self._weights.values():
            if weight.bias in state["module"]:
                self._bias(weight)
        self._module.load_state_dict(state["module"])
        with torch.no_grad():
            for name, held in self._held.items():
                if name in state["shadows"]:
                    held.shadow.copy_(state["shadows"][name])
                    held.show()
        if self._optimiser and state["optimiser"]:
            self._optimiser.load_state_dict(state["optimiser"])

    def model(self) -> TorchModel:
        self.release()
        program = self._original.form("torch")
        return self._original.with_program(replace(program, module=self._module))

    def release(self) -> None:
        self._held, self._features = {}, []
        for each in (*self._module.parameters(), *self._module.buffers()):
            each.requires_grad_(False)
        self._optimiser = None

    def _bias(self, weight: Weight) -> torch.Tensor:
        """What takes up a shift; made where there is none yet."""
        assert weight.bias is not None
        path, _, leaf = weight.bias.rpartition(".")
        layer = self._module.get_submodule(path)
        if getattr(layer, leaf) is None:
            setattr(layer, leaf, torch.nn.Parameter(torch.zeros(weight.layer.shape[0]), requires_grad=False))
        return tensor(self._module, weight.bias)

    def _inputs_of(
        self, module: torch.nn.Module, names: Sequence[str], tensors: tuple[torch.Tensor, ...]
    ) -> dict[str, torch.Tensor]:
        """What layers are fed with, as [places, in]."""
        own = {name: self._weights[name] for name in names}
        calls = {name: each.calls for name, each in own.items()}
        watch = Watch(
            {name: each.of(module) for name, each in own.items()}, None if self._scripted else calls
        )
        with step_by_step(), suppress(AllSeen), watch:
            module(*tensors)
        return {name: torch.cat(parts) for name, parts in watch.seen.items()}

    def _tensors(self, stack: Sequence[Arrays]) -> tuple[torch.Tensor, ...]:
        return tuple(
            torch.tensor(
                np.concatenate([sample[spec.name] for sample in stack]), dtype=getattr(torch, spec.dtype)
            )
            for spec in self._original.signature.inputs
        )

    def _stacked(self, samples: Iterable[Arrays]) -> Iterator[tuple[torch.Tensor, ...]]:
        rest = iter(samples)
        while stack := list(islice(rest, STACK if self._stacks else 1)):
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
