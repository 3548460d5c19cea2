"""Programs without a fixed graph: branches and loops that depend on the data stay in the TorchScript that is packed."""

from __future__ import annotations

import copy
import io
import json
import pickletools
import warnings
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.ao.quantization import quantize_dynamic
from torch.jit._trace import TracerWarning

from edgepack.errors import ModelError
from edgepack.spec import Precision, Signature
from edgepack.target import Artifact, Op, Plan

from . import audit
from .archive import EXTRA
from .runtime import qnnpack
from .script import specs
from .writer import write

if TYPE_CHECKING:
    from .._torch.model import Program

DYNAMIC = {"aten::linear", "aten::lstm", "aten::gru"}
LAYERS = {torch.nn.Linear, torch.nn.LSTM, torch.nn.GRU}


def script(program: Program, dynamic: bool = False) -> Any:
    """The program as one TorchScript module.

    Args:
        dynamic: give linear and recurrent layers int8 weights.

    Raises:
        ModelError: a branch depends on the data, and TorchScript's compiler does not take the module that has it.
    """
    with warnings.catch_warnings(record=True) as told, torch.no_grad():
        warnings.simplefilter("always")
        module, refused = _compiled(copy.deepcopy(program.module), dynamic)
        try:
            traced: Any = torch.jit.trace(module, program.example, check_trace=False)  # type: ignore[no-untyped-call]
        except Exception as error:
            raise ModelError(
                f"The model can be neither exported nor traced: {str(error).strip().splitlines()[0][:300]}",
                "Write it with tensor operations alone, no Python that depends on values.",
            ) from error
    for warning in told:
        if issubclass(warning.category, TracerWarning) and "Python" in str(warning.message):
            raise ModelError(
                f"The model branches on its data, at {warning.filename}:{warning.lineno}.",
                "Write the branch with torch.where, or make the module fit for torch.jit.script"
                + (f", which says: {refused[:300]}" if refused else "."),
            )
    return traced.eval()


def _compiled(module: torch.nn.Module, dynamic: bool) -> tuple[torch.nn.Module, str]:
    """The module with its parts compiled, branches and all; and why one of them could not be."""
    refused = ""
    for name, child in module.named_children():
        if isinstance(child, torch.jit.ScriptModule):
            continue
        try:
            setattr(module, name, torch.jit.script(_dynamic(child) if dynamic else child))
        except Exception as error:  # the compiler and the quantizer raise what they like
            refused = str(error).strip().splitlines()[0]
    return module, refused


def _dynamic(module: torch.nn.Module) -> torch.nn.Module:
    return quantize_dynamic(module, LAYERS)  # type: ignore[no-any-return,no-untyped-call]


class ScriptedLowering:
    """See edgepack.target.Lowering. Weights of linear and recurrent layers can be int8, all of them or none."""

    improves: frozenset[Precision] = frozenset()
    notes = ()

    def __init__(self, program: Program, scripted: Any) -> None:
        self._program = program
        self._scripted = scripted

    @cached_property
    def ops(self) -> tuple[Op, ...]:
        found = audit.audit(_saved(self._scripted, self._program.signature)).ops
        return tuple(
            Op(
                op.name,
                op.kind,
                op.bytes,
                frozenset({Precision.FLOAT32, Precision.INT8_DYNAMIC}) - set(cannot),
                cannot,
            )
            for op in found
            for cannot in [self._cannot(op.kind)]
        )

    def _cannot(self, kind: str) -> dict[Precision, str]:
        why = "the model branches on its data, so that ranges cannot be measured"
        if kind in DYNAMIC and self._has_layers:
            return {Precision.INT8: why}
        return dict.fromkeys((Precision.INT8, Precision.INT8_DYNAMIC), why)

    @cached_property
    def _has_layers(self) -> bool:
        """Whether there are layers that can be exchanged: not in what came as TorchScript."""
        modules = self._program.module.modules()
        return any(type(module) in LAYERS for module in modules)

    def emit(self, plan: Plan, out: Path) -> Artifact:
        """See TorchScriptLowering; one op as int8_dynamic makes all of them so that can be."""
        with qnnpack():
            dynamic = Precision.INT8_DYNAMIC in (plan.default, *plan.ops.values())
            scripted = script(self._program, dynamic=True) if dynamic else self._scripted
            return write(_saved(scripted, self._program.signature), out)


def _saved(scripted: Any, signature: Signature) -> bytes:
    """The file, without what differs from one process to the next: numbers in class names, paths of source files."""
    notes = {"inputs": specs(signature.inputs), "outputs": specs(signature.outputs)}
    scripted = torch.jit.freeze(scripted)
    data = scripted._c._save_to_buffer_for_mobile(
        {EXTRA: json.dumps(notes, separators=(",", ":"))}, False, False
    )
    path, _, name = scripted._c._type().qualified_name().rpartition(".")
    reader, made = torch._C.PyTorchFileReader(io.BytesIO(data)), io.BytesIO()
    writer = torch._C.PyTorchFileWriter(made)
    for record in reader.get_all_records():
        if record.startswith(("code/", ".data/", "version")):
            continue  # the lite interpreter reads no code; the writer adds the others itself
        content = reader.get_record(record)
        if record in ("bytecode.pkl", "data.pkl"):
            content = _renamed(content, f"{path}.{name}", "__torch__.Model")
        writer.write_record(record, content, len(content))
    writer.write_end_of_file()
    return made.getvalue()


def _renamed(content: bytes, old: str, new: str) -> bytes:
    """A pickle with another name for a class."""
    ops = [(op.name, argument, position or 0) for op, argument, position in pickletools.genops(content)]
    ends = [position for _, _, position in ops[1:]] + [len(content)]
    made = bytearray()
    for (op, argument, position), end in zip(ops, ends, strict=True):
        if op == "BINUNICODE" and isinstance(argument, str) and old in argument:
            text = argument.replace(old, new).encode()
            made += b"X" + len(text).to_bytes(4, "little") + text
        elif op == "GLOBAL" and isinstance(argument, str) and argument.replace(" ", ".") == old:
            made += b"c" + new.replace(".Model", "\nModel\n").encode()
        else:
            made += content[position:end]
    return bytes(made)
