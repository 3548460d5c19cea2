"""A copy of a PyTorch model that is made smaller (see edgepack.compress.student)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from edgepack.compress import lockstep
from edgepack.compress.coupling import Coupled
from edgepack.compress.distil import spans
from edgepack.compress.lockstep import Halting, Pair
from edgepack.compress.recover import Moments, Sums
from edgepack.compress.student import Group, Hold
from edgepack.errors import ModelError
from edgepack.spec import Array, Arrays

from . import channels, low_rank
from .held import Held
from .layers import Weight, described, tensor
from .loss import Feature, loss
from .towards import towards
from .watching import halt, input_bytes, inputs, kinds, step_by_step

if TYPE_CHECKING:
    from .model import TorchModel

STACK = 16
"""Samples that are computed together, where the model can."""


class TorchStudent:
    """See edgepack.compress.student.Student. Raises ModelError where the module has no layers."""

    def __init__(self, original: TorchModel, taught_by: TorchModel | None = None) -> None:
        self._original = original
        self._taught_by = taught_by or original
        program = original.form("torch")
        self._teacher = program.module
        try:
            self._module = copy.deepcopy(program.module)
        except Exception as error:
            raise ModelError(
                f"The module cannot be copied, as compression needs it: {error}.",
                "Return one that copy.deepcopy takes.",
            ) from error
        self._look()
        if not self.layers:
            raise ModelError(
                "The source has no weights that compression can see.",
                "Give a model that multiplies its inputs with weights.",
            )
        self._held: dict[str, Held] = {}
        self._features: list[str] = []
        self._coupled: dict[Group, Coupled] = {}
        self._together = STACK if self._can_stack(program.example) else 1
        self._optimiser: torch.optim.Optimizer | None = None

    def teach(self, inputs: Arrays) -> dict[str, Array]:
        return self._taught_by(inputs)

    def towards(
        self, samples: Sequence[Arrays], output: str, classes: Sequence[int]
    ) -> list[dict[str, Array]]:
        by = self._taught_by.form("torch").module
        return towards(by, self._original.signature, self._stacked(samples), output, classes)

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
        with self._watching():
            for stack in self._stacked(samples):
                taught, own = (inputs(each, self._tensors_of(names, each), stack) for each in self._both)
                for name in names:
                    sums[name].add(own[name].numpy(), taught[name].numpy())
        return {name: each.moments() for name, each in sums.items()}

    def walk(self, names: Sequence[str], samples: Sequence[Arrays]) -> Iterator[tuple[str, Moments]]:
        for name in names:
            if self._weights[name].bias is not None:
                self._bias(self._weights[name])  # a run that is under way would not see one that comes later

        def begin(once: Sequence[str], some: Sequence[Arrays]) -> list[Pair]:
            def halting(module: torch.nn.Module, stack: tuple[torch.Tensor, ...]) -> Halting:
                return Halting(partial(halt, module, self._tensors_of(once, module), stack))

            return [
                (halting(self._module, stack), halting(self._teacher, stack)) for stack in self._stacked(some)
            ]

        def anew(name: str) -> Moments:
            return self.moments([name], samples)[name]

        with self._watching():
            example = self._original.form("torch").example
            sizes = input_bytes(self._module, self._tensors_of(names, self._module), example)
            yield from lockstep.walk(names, samples, begin, anew, sizes, self._together)

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        with torch.no_grad():
            outputs = self._module(*self._tensors([inputs]))
        specs = self._original.signature.outputs
        return {spec.name: value.numpy() for spec, value in zip(specs, outputs, strict=True)}

    def hold(self, holds: Mapping[str, Hold]) -> None:
        self.release()
        chosen = {name: self._weights[name] for name in holds}
        self._held = {name: Held(each.of(self._module), each, holds[name]) for name, each in chosen.items()}
        own = {name for name, _ in self._taught_by.form("torch").module.named_modules()}
        self._features = [name for name, each in chosen.items() if each.is_output and name in own]
        trained: dict[int, torch.Tensor] = {
            id(each): each for each in self._module.parameters() if each.dtype == torch.float32
        }
        trained |= {id(own): own for own in (each.of(self._module) for each in chosen.values())}
        for each in trained.values():
            each.requires_grad_(True)
        shadows = {id(chosen[name].of(self._module)): each.shadow for name, each in self._held.items()}
        relative = spans([each.detach().numpy() for each in trained.values()])
        self._optimiser = torch.optim.Adam(
            [
                {"params": [shadows.get(place, each)], "span": own}
                for (place, each), own in zip(trained.items(), relative, strict=True)
            ]
        )

    def learn(self, batch: Sequence[Arrays], rate: float) -> float:
        assert self._optimiser is not None
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["span"]
        by = self._taught_by.form("torch").module
        total = 0.0
        self._optimiser.zero_grad()
        stacks = [batch] if self._together > 1 else [[sample] for sample in batch]
        for stack in stacks:
            tensors = self._tensors(stack)
            with torch.no_grad():
                taught, wanted = Feature.record(by, self._features, tensors)
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

    def split(self, factors: Mapping[str, tuple[Array, Array]]) -> TorchStudent:
        module = copy.deepcopy(self._module)
        for name, (first, second) in factors.items():
            low_rank.split(module, name, first, second)
        program = replace(self._original.form("torch"), module=module)
        try:
            with torch.no_grad():
                module(*program.example)
        except Exception as error:
            raise ModelError(
                f"The model does not run with two layers in the place of one: {error}",
                "Its code looks into a layer; leave that one as it is: --keep-layer NAME. Layers: "
                + ", ".join(list(factors)[:20]),
            ) from error
        return TorchStudent(self._original.with_program(program), self._taught_by)

    def groups(self) -> tuple[Group, ...]:
        for weight in self._weights.values():
            if weight.bias is not None:
                self._bias(weight)  # before its channels are followed, or it would not be found there
        program = self._original.form("torch")
        whole = [each.layer for each in self._weights.values() if each.is_output]
        self._coupled = channels.groups(self._module, program.example, whole)
        return tuple(self._coupled)

    def slim(self, gone: Mapping[Group, Array]) -> None:
        channels.slim(self._module, [(self._coupled[group], each) for group, each in gone.items()])
        self._look()

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

    def _look(self) -> None:
        """See what weights there are."""
        found, is_fused = described(self._module, self._original.form("torch").example)
        self._weights = {each.layer.name: each for each in found}
        self.layers = tuple(each.layer for each in found)
        self._watching = step_by_step if is_fused else nullcontext

    @property
    def _both(self) -> tuple[torch.nn.Module, torch.nn.Module]:
        return self._teacher, self._module

    def _tensors_of(self, names: Sequence[str], module: torch.nn.Module) -> dict[str, torch.Tensor]:
        return {name: self._weights[name].of(module) for name in names}

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
        """Whether two samples computed together give what each gives alone, and use the weights in the same way."""
        if not all(each.ndim and len(each) == 1 for each in example):
            return False
        doubled = tuple(torch.cat([each, each]) for each in example)
        weights = self._tensors_of(list(self._weights), self._module)
        try:
            with torch.no_grad():
                alone = self._module(*example)
                both = self._module(*doubled)
            with self._watching():
                uses = [kinds(self._module, weights, each) for each in (example, doubled)]
        except Exception:  # a reshape to a batch of 1, say: then one after the other
            return False
        return uses[0] == uses[1] and all(
            one.ndim
            and len(two) == 2 * len(one)
            and torch.allclose(two, torch.cat([one, one]), rtol=1e-3, atol=1e-4)
            for one, two in zip(alone, both, strict=True)
        )
