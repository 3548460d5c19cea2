"""TorchScript modules: read from a file, or returned by a factory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from edgepack.errors import ModelError, UsageError
from edgepack.model import LoadRequest

from .outputs import Output, Step
from .probe import call, examples
from .source import Input, Parameter, Source
from .weights import prepare

aten = torch.ops.aten

STAYS = "The TorchScript module decides by values on its way, so only a target that takes TorchScript can build it."


def source(made: torch.jit.ScriptModule, request: LoadRequest) -> Source:
    """The module as it is; its forward's schema names the inputs. Raises ModelError, UsageError."""
    if "forward" not in made._c._method_names():
        methods = ", ".join(made._c._method_names()) or "none"
        raise ModelError(
            f"The TorchScript module has no forward; its methods: {methods}.",
            "Save a module whose forward computes the answer.",
        )
    parameters = tuple(
        Parameter(argument.name.replace(".", "_"), not argument.has_default_value(), argument.kwarg_only)
        for argument in made._c._get_method("forward").schema.arguments[1:]
    )
    if not parameters:
        raise UsageError(
            "The TorchScript module's forward takes no inputs.", "Give a module that takes some."
        )
    return Source(made, parameters, prepare(made))


def unscripted(
    source: Source, inputs: tuple[Input, ...], outputs: tuple[Output, ...]
) -> tuple[torch.nn.Module, tuple[Input, ...], tuple[Output, ...], list[str]]:
    """The module as a graph of ops, which every target can take; as it is where it decides by its tensors' values.

    Returns:
        the module, how its inputs are given and its outputs found, and a note where it stayed TorchScript.
    """
    values = [examples(inputs, seed) for seed in (0, 1)]

    def flat(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        result = call(source, inputs, dict(zip(values[0], tensors, strict=True)))
        return tuple(each.of(result) for each in outputs)

    def agrees(graph: torch.nn.Module, fed: dict[str, torch.Tensor]) -> bool:
        pairs = zip(graph(*_copied(fed)), flat(*_copied(fed)), strict=True)
        return all(torch.allclose(one, other, rtol=1e-4, atol=1e-6, equal_nan=True) for one, other in pairs)

    with torch.no_grad():
        try:
            graph = make_fx(flat, TRACED_OPS, pre_dispatch=True)(*_copied(values[0]))
        except Exception:  # an If or a loop over values: only TorchScript's interpreter can do that
            return source.module, inputs, outputs, [STAYS]
        if not all(agrees(graph, fed) for fed in values):
            return source.module, inputs, outputs, [STAYS]
    for parameter in graph.parameters():
        parameter.requires_grad_(False)
    by_position = tuple(replace(each, keyword=False) for each in inputs)
    by_index = tuple(replace(each, steps=(Step(index),)) for index, each in enumerate(outputs))
    return graph, by_position, by_index, []


def _convolution(
    value: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, *rest: Any
) -> Any:
    """The op that torch.jit.trace writes for every convolution, as the one that the others write."""
    transposed, output_padding, groups = rest[:3]
    if transposed:
        kind = {3: aten.conv_transpose1d, 4: aten.conv_transpose2d, 5: aten.conv_transpose3d}[weight.dim()]
        return kind(value, weight, bias, stride, padding, output_padding, groups, dilation)
    plain = {3: aten.conv1d, 4: aten.conv2d, 5: aten.conv3d}[weight.dim()]
    return plain(value, weight, bias, stride, padding, dilation, groups)


TRACED_OPS = {aten._convolution.default: _convolution}


def _copied(values: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    return [value.clone() for value in values.values()]
