"""Programs of torch.export: read from a .pt2, or returned by a factory. They know their inputs."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.export.graph_signature import ConstantArgument, InputKind
from torch.utils import _pytree as pytree

from edgepack.spec import TensorSpec

from .outputs import dtype_name
from .source import Parameter, Source
from .weights import prepare


class Exported(torch.nn.Module):
    """An exported program, called with its input tensors in order.

    Args:
        structure: of its arguments, positional and by name.
        constants: by position in the structure, the arguments that are no tensors.
    """

    def __init__(self, program: torch.nn.Module, structure: Any, constants: dict[int, Any]) -> None:
        super().__init__()
        self.program = program
        self.training = False
        self._structure = structure
        self._constants = constants

    def forward(self, *tensors: torch.Tensor) -> Any:
        rest = iter(tensors)
        count = self._structure.num_leaves
        flat = [self._constants[index] if index in self._constants else next(rest) for index in range(count)]
        arguments, keywords = pytree.tree_unflatten(flat, self._structure)
        return self.program(*arguments, **keywords)


def source(program: torch.export.ExportedProgram) -> Source:
    """The program as a module. Raises ModelError for weights that cannot be had in float32 on the CPU."""
    signature = program.graph_signature
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    parameters: list[Parameter] = []
    constants: dict[int, Any] = {}
    user = [each.arg for each in signature.input_specs if each.kind == InputKind.USER_INPUT]
    for index, argument in enumerate(user):
        if isinstance(argument, ConstantArgument):
            constants[index] = argument.value
            continue
        value = values[argument.name]
        shape = tuple(size if isinstance(size, int) else None for size in value.shape)
        spec = TensorSpec(argument.name, shape, dtype_name(value.dtype))
        parameters.append(Parameter(argument.name, spec=spec))
    options = (
        {"check_guards": False} if "check_guards" in inspect.signature(program.module).parameters else {}
    )
    inner = program.module(**options)
    inner._forward_pre_hooks.clear()  # they check shapes, which are fixed here, and cannot be traced
    notes = prepare(inner, has_modes=False)
    return Source(Exported(inner, program.call_spec.in_spec, constants), tuple(parameters), notes)
