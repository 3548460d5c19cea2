"""A PyTorch source as a Model: inputs resolved, boundary types narrowed, wrap realised, put together as one program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from edgepack.errors import ModelError
from edgepack.model import LoadRequest
from edgepack.spec import Affine, Array, Arrays, Signature, TensorSpec, format_shape
from edgepack.wrap import Where

from . import wrap
from .inputs import boundary_notes, resolve
from .observe import Observed, observe
from .outputs import dtype_name
from .places import explained
from .probe import examples
from .scripted_source import unscripted
from .source import Input, Source
from .student import TorchStudent
from .wrap import Wrapped


@dataclass(frozen=True)
class Program:
    """A module with the wrap around it, ready to be exported, traced or scripted.

    Attributes:
        module: in eval mode, on the CPU, float32, without gradients; called with tensors in the order of the signature's
            inputs, it returns a tuple of tensors in the order of its outputs. The source's own module is its ``network``.
        signature: shapes static, the batch 1.
        example: inputs that it computes with.
    """

    module: torch.nn.Module
    signature: Signature
    example: tuple[torch.Tensor, ...]


class TorchModel:
    """The wrapped original (see edgepack.model.Model), run by PyTorch."""

    forms = frozenset({"torch"})

    def __init__(
        self,
        name: str,
        program: Program,
        scalings: Mapping[str, Affine],
        processing: tuple[tuple[str, str, Where], ...],
        notes: tuple[str, ...],
    ) -> None:
        self.name = name
        self.signature = program.signature
        self.scalings = scalings
        self.processing = processing
        self.notes = notes
        self._program = program

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        """The original's outputs for one sample. Raises ModelError where it cannot compute with it."""
        specs = self.signature.inputs
        tensors = [torch.tensor(inputs[spec.name], dtype=getattr(torch, spec.dtype)) for spec in specs]
        module = self._program.module
        with torch.no_grad(), explained(module.get_submodule("network"), ", ".join(map(str, specs))):
            values = module(*tensors)
        return dict(_named(self.signature.outputs, values))

    def form(self, name: str) -> Program:
        """The program, for ``torch``."""
        return {"torch": self._program}[name]

    def student(self) -> TorchStudent:
        """A copy to be made smaller. Raises ModelError where there are no layers."""
        return TorchStudent(self)

    def with_program(self, program: Program) -> TorchModel:
        """The same model, computed by another program."""
        return TorchModel(self.name, program, self.scalings, self.processing, self.notes)


def _named(specs: tuple[TensorSpec, ...], values: tuple[torch.Tensor, ...]) -> Any:
    for spec, value in zip(specs, values, strict=True):
        if tuple(value.shape) != spec.shape:
            raise ModelError(
                f"The output '{spec.name}' has a size that depends on the data: "
                f"{format_shape(tuple(value.shape))} instead of {format_shape(spec.shape)}.",
                "Return a tensor of fixed size: pad it, or take the k best.",
            )
        yield spec.name, value.numpy()


def build(source: Source, request: LoadRequest) -> TorchModel:
    """Make the model of a source. Raises ModelError, UsageError."""
    torch.backends.mha.set_fastpath_enabled(False)  # its fused op can be neither exported nor traced
    inputs = resolve(source, request)
    observed = observe(source, inputs)
    wrapped = wrap.realise(inputs, observed, request.wrap)
    notes = [*source.notes, *boundary_notes(inputs), *wrapped.notes]
    network = source.module
    if isinstance(network, torch.jit.ScriptModule):
        network, inputs, outputs, note = unscripted(source, inputs, observed.outputs)
        observed = replace(observed, outputs=outputs)
        notes += note
    program = _assemble(network, inputs, observed, wrapped)
    return TorchModel(request.name, program, wrapped.scalings, tuple(wrapped.processing), tuple(notes))


def _assemble(
    network: torch.nn.Module, inputs: tuple[Input, ...], observed: Observed, wrapped: Wrapped
) -> Program:
    """The steps before the network, the network and the steps behind it, as one graph with the network as a module."""
    root = torch.nn.Module()
    root.network = network
    graph = torch.fx.Graph()
    fed = {each.name: torch.fx.Proxy(graph.placeholder(each.name)) for each in inputs}

    def constant(values: tuple[float, ...]) -> torch.fx.Proxy:
        name = f"wrap_{sum(1 for _ in root.buffers(recurse=False))}"
        root.register_buffer(name, torch.tensor(values, dtype=torch.float32))
        return torch.fx.Proxy(graph.get_attr(name))

    given = {}
    for each in inputs:
        value = fed[each.name]
        if each.name in wrapped.pre:
            value = wrapped.pre[each.name](value, constant)
        if each.name in observed.overwritten:
            value = value.clone()  # the network writes into it; what the app fed is the app's
        is_as_fed = getattr(torch, wrapped.fed[each.name].dtype) == each.dtype
        given[each.name] = value if is_as_fed else value.to(each.dtype)
    positional = tuple(given[each.name].node for each in inputs if not each.keyword)
    keywords: dict[str, Any] = {each.name: given[each.name].node for each in inputs if each.keyword}
    result = torch.fx.Proxy(graph.call_module("network", positional, keywords))
    values = []
    for index, output in enumerate(observed.outputs):
        value = output.of(result)
        value = value if output.dtype == output.tensor.dtype else value.to(output.dtype)
        value = wrapped.post[output.name](value) if output.name in wrapped.post else value
        is_another = any(output.tensor is other.tensor for other in observed.outputs[:index])
        values.append(value.clone() if is_another else value)
    graph.output(tuple(value.node for value in values))
    root.training = False
    signature = Signature(
        tuple(wrapped.fed[each.name] for each in inputs),
        tuple(
            TensorSpec(each.name, tuple(each.tensor.shape), dtype_name(each.dtype))
            for each in observed.outputs
        ),
    )
    return Program(torch.fx.GraphModule(root, graph), signature, tuple(map(_example, signature.inputs)))


def _example(spec: TensorSpec) -> torch.Tensor:
    values = examples([Input(spec, getattr(torch, spec.dtype))])[spec.name]
    return values * spec.range[1] if spec.range else values
