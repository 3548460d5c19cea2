"""Writes a TorchScript module: a straight line of calls, and the tensors and packed weights that they read.

The text is compiled on its own, away from the classes that this process has compiled before, so that the same calls give
the same bytes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch

from edgepack.errors import ModelError
from edgepack.spec import TensorSpec

from .archive import EXTRA

Argument = Any  # a Ref, a Python number, string, bool, None, dtype, device, or a sequence of these


class Ref(str):
    """A name in the text: of an input, of what a call gave, of an attribute."""


class Script:
    """The module being written.

    Args:
        inputs: the names of the arguments of ``forward``; made identifiers.
    """

    def __init__(self, inputs: Sequence[str]) -> None:
        self.inputs = [Ref(f"in_{re.sub(r'[^A-Za-z0-9]', '_', name)}_{i}") for i, name in enumerate(inputs)]
        self._lines: list[str] = []
        self._names: list[str] = []
        self._attributes: dict[str, Any] = {}
        self._known: dict[int, Ref] = {}

    def attribute(self, name: str, made: Any) -> Ref:
        """A tensor or packed weights that the module holds."""
        if id(made) not in self._known:
            slot = f"{re.sub(r'[^A-Za-z0-9]', '_', name)}_{len(self._attributes)}"
            slot = slot if slot[0].isalpha() else f"w_{slot}"
            self._attributes[slot] = made
            self._known[id(made)] = Ref(f"self.{slot}")
        return self._known[id(made)]

    def call(
        self,
        name: str,
        op: str,
        args: Sequence[Argument],
        options: Mapping[str, Argument] | None = None,
        outputs: int = 1,
    ) -> Any:
        """Call ``namespace::op`` for the op ``name`` of the model; what it gives, or all that it gives."""
        number = len(self._names)
        self._names.append(name)
        given = [_text(argument) for argument in args]
        given += [f"{key}={_text(argument)}" for key, argument in (options or {}).items()]
        made = tuple(Ref(f"x{number}_{i}") for i in range(outputs)) if outputs > 1 else (Ref(f"x{number}"),)
        self._lines.append(f"{', '.join(made)} = torch.ops.{op.replace('::', '.')}({', '.join(given)})")
        return made if outputs > 1 else made[0]

    def item(self, sequence: Ref, index: int) -> Ref:
        """One of the tensors in a list that a call gave."""
        made = Ref(f"{sequence}_at{index}")
        self._lines.append(f"{made} = {sequence}[{index}]")
        return made

    def save(self, outputs: Sequence[Ref], notes: Mapping[str, object]) -> bytes:
        """The file. Raises ModelError that names a call which TorchScript does not take."""
        module: Any = _script_module("Model", torch._C.CompilationUnit(), False)
        for name, made in self._attributes.items():
            module._register_attribute(name, _type(made), made)
        concrete = torch._C.ConcreteModuleType.from_jit_type(module._type())
        scope: Any = SimpleNamespace(torch=torch, Tensor=torch.Tensor, Tuple=tuple)
        try:
            module._define(
                concrete, self._source(outputs), torch._jit_internal.createResolutionCallbackFromEnv(scope)
            )
        except RuntimeError as error:
            raise ModelError(
                f"TorchScript cannot express the model: {_first_line(error)}",
                "Replace that op in the model, or choose another target.",
            ) from error
        extra = {EXTRA: json.dumps({**notes, "ops": self._names}, separators=(",", ":"))}
        return bytes(module._save_to_buffer_for_mobile(extra, False, False))

    def _source(self, outputs: Sequence[Ref]) -> str:
        head = "".join(f", {name}: Tensor" for name in self.inputs)
        types = ", ".join("Tensor" for _ in outputs)
        result = ", ".join(outputs)
        if len(outputs) > 1:
            types, result = f"Tuple[{types}]", f"({result})"
        body = "".join(f"    {line}\n" for line in [*self._lines, f"return {result}"])
        return f"def forward(self{head}) -> {types}:\n{body}"


_script_module: Any = (
    torch._C.ScriptModule
)  # its constructor and half of its methods are not in torch's stubs


def _type(made: Any) -> Any:
    return torch._C.TensorType.get() if isinstance(made, torch.Tensor) else made._type()


def _first_line(error: Exception) -> str:
    return next(line for line in str(error).splitlines() if line.strip())[:300]


def _text(argument: Argument) -> str:
    """An argument as TorchScript's source has it."""
    match argument:
        case Ref():
            return str(argument)
        case None | bool() | int():
            return repr(argument)
        case float():
            return repr(argument) if math.isfinite(argument) else f'float("{argument}")'
        case str():
            return repr(argument)
        case torch.dtype() | torch.layout() | torch.memory_format():
            return str(argument)
        case torch.device():
            return f'torch.device("{argument}")'
        case list() | tuple():
            return f"[{', '.join(map(_text, argument))}]"
        case _:
            raise ModelError(
                f"TorchScript mobile cannot hold an argument of type {type(argument).__name__}.",
                "Replace the op that takes it in the model.",
            )


def specs(found: Sequence[TensorSpec]) -> list[dict[str, object]]:
    """Inputs or outputs as the file's notes have them."""
    return [{"name": spec.name, "shape": list(spec.static_shape), "dtype": spec.dtype} for spec in found]
