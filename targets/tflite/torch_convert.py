"""A PyTorch program to a float .tflite, by litert-torch; what it cannot take is named with its module and source line.

The steps of ``litert_torch.convert`` are taken one by one, because what is exported is mended on the way:
ops get the names of the user's modules, recurrent layers stay one op each, and there are fewer ops to convert.
"""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import litert_torch
import torch
from litert_torch import fx_infra
from litert_torch._convert import core, litert_converter
from litert_torch._convert.signature import Signature as TorchSignature
from torch.export import ExportedProgram

from . import recurrence as recurrence  # registers what it can lower
from . import torch_errors
from .flatbuffer import SIGNATURE_KEY, ModelView, with_signature, write
from .loops import CUSTOM_CODE, unfold
from .simplify import replace, simplify

if TYPE_CHECKING:
    from .._torch.model import Program

MATRIX_KINDS = {
    "CONV_2D",
    "CONV_3D",
    "DEPTHWISE_CONV_2D",
    "TRANSPOSE_CONV",
    "FULLY_CONNECTED",
    "BATCH_MATMUL",
    "EMBEDDING_LOOKUP",
    CUSTOM_CODE,
}

litert_torch.config.show_progress = False


class _Fed(torch.nn.Module):
    """A module some of whose inputs come channels last, at these positions."""

    def __init__(self, module: torch.nn.Module, positions: frozenset[int]) -> None:
        super().__init__()
        self.program = module
        self.training = False  # eval() would not do: a program that was exported before refuses it
        self._positions = positions

    def forward(self, *tensors: torch.Tensor) -> Any:
        turned = (
            tensor.permute(0, 3, 1, 2) if position in self._positions else tensor
            for position, tensor in enumerate(tensors)
        )
        return self.program(*turned)


def convert(program: Program, channels_last: frozenset[str] = frozenset()) -> bytes:
    """The float32 .tflite with the signature's names.

    Args:
        channels_last: inputs that the file takes as NHWC where the program has NCHW.

    Raises:
        ModelError: naming the op or the statement that cannot be converted, its module and its line.
    """
    names = [spec.name for spec in program.signature.inputs]
    positions = frozenset(names.index(name) for name in channels_last)
    module = _Fed(program.module, positions)
    example = tuple(
        tensor.permute(0, 2, 3, 1).contiguous() if position in positions else tensor
        for position, tensor in enumerate(program.example)
    )
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        exported = _export(module, example)
        data = _lower(exported, TorchSignature(SIGNATURE_KEY, module, example, {}))
    return with_signature(unfold(_named(data, _matrices(module))), program.signature)


def _export(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> ExportedProgram:
    """The module's graph, every op called by its module. Raises ModelError."""
    try:
        exported = torch.export.export(module, example, strict=False)
    except Exception as error:
        raise torch_errors.not_exported(error, module.get_submodule("program.network")) from error
    _rename(exported, module)
    simplify(exported)
    for tensors in (exported.state_dict, exported.constants):
        for name, tensor in tensors.items():
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.isinf().any():
                replace(tensors, name, tensor.clone())  # the converter cuts these off, in place
    return exported


def _rename(exported: ExportedProgram, module: torch.nn.Module) -> None:
    """Call every node by the path of its module, which the converter writes into the file.

    In a module that has others of its own, what the node computes stands behind it. A program that was exported before
    is one module; of that only the weights still tell where they were.
    """
    containers = {path for path, each in module.named_modules() if any(True for _ in each.children())}
    weights = exported.graph_signature.inputs_to_parameters
    for node in exported.graph.nodes:
        if node.op != "call_function":
            continue
        stack = list(node.meta.get("nn_module_stack", {}).values())
        path = stack[-1][0] if stack else ""
        holders = [
            weights[each.name].rpartition(".")[0] for each in node.all_input_nodes if each.name in weights
        ]
        path = next((holder for holder in holders if holder.startswith(path)), path)
        kind = str(node.target).removeprefix("aten.").partition(".")[0]
        own = torch_errors.own(path)
        node.meta["nn_module_stack"] = {"": ("", f"{own}/{kind}" if path in containers else own)}


def _lower(exported: ExportedProgram, signature: TorchSignature) -> bytes:
    """The converter's own file. Raises ModelError."""
    try:
        exported = fx_infra.graph_utils.reset_from_node_meta(exported)
        exported = fx_infra.safe_run_decompositions(
            exported, fx_infra.decomp.pre_convert_decomp(), can_skip=False
        )
        exported = core._run_convert_passes(exported)
        exporter = litert_converter.exported_programs_to_flatbuffer([exported], [signature])
        return bytes(exporter.to_bytes())
    except Exception as error:
        raise torch_errors.not_lowered(error) from error


def _matrices(module: torch.nn.Module) -> set[str]:
    """The modules that hold a matrix or kernel of their own."""
    parameters = [name for name, parameter in module.named_parameters() if parameter.ndim > 1]
    return {torch_errors.own(name.rpartition(".")[0]) for name in parameters}


def _named(data: bytes, matrices: set[str]) -> bytes:
    """The file, every op called by one of the modules that were fused into it.

    An op with a matrix by the module that holds it, if that is beside the module of its last step; others by the module
    of their last step, and by their kind, where several ops come of one module.
    """
    view = ModelView(data)
    fused = {op.name: [name for name in op.name.split(";") if name] or [op.kind.lower()] for op in view.ops}
    counts = Counter(names[0] for names in fused.values())
    for op in view.ops:
        names = fused[op.name]
        last = names[0].partition("/")[0]
        beside = {last, last.rpartition(".")[0]}
        held = [name for name in names if name in matrices]
        own = [name for name in held if name.rpartition(".")[0] in beside] or (held if not last else [])
        name = names[0].removeprefix("/")
        if op.kind in MATRIX_KINDS:
            name = own[0] if own else name
        elif "/" not in name and (counts[name] > 1 or name in matrices):
            name = f"{name}/{op.kind.lower()}"
        view.tensor(0, op.outputs[0]).name = name.encode()
    return write(view.model)
