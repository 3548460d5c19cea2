"""Why PyTorch or litert-torch refuses a model, as a sentence: what, in which module, at which line, and the way round."""

from __future__ import annotations

import linecache
import re
import traceback
from pathlib import Path

import torch
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from edgepack.errors import ModelError

from .._torch.files import first_line
from .._torch.outputs import dtype_name
from .._torch.places import is_theirs, raised_in


def not_exported(error: Exception, network: torch.nn.Module) -> ModelError:
    """Of an error that torch.export raised while it ran the code of the user's network."""
    where = raised_in(error, network)
    if isinstance(error, GuardOnDataDependentSymNode):
        return ModelError(
            f"The model decides by the values of a tensor, which a converted graph cannot. This is in {where}.",
            "Compute both cases and choose with torch.where, or leave the decision to the app.",
        )
    scripted = [name for name, each in network.named_modules() if isinstance(each, torch.jit.ScriptModule)]
    if scripted:
        what = f"The module '{scripted[0]}' is TorchScript inside of a PyTorch module"
        return ModelError(
            f"{what if scripted[0] else 'The model is TorchScript that decides by values'}, which cannot be exported.",
            "Use the module that it was made of; the target torchscript takes it as it is.",
        )
    return ModelError(
        f"torch.export refused the model: {first_line(error).rstrip('.')}. This is in {where}.",
        "Write that statement with PyTorch's own ops on tensors of fixed shape; --debug shows all that it says.",
        str(error)[-2000:],
    )


def has_complex(node: torch.fx.Node) -> ModelError:
    """Of an op that gives a complex number, or takes one, in a way that real numbers are no help with."""
    told = [(node, "gives"), *((each, "takes") for each in node.all_input_nodes)]
    values = [(each.meta.get("val"), verb) for each, verb in told]
    what = next(
        f"{verb} {dtype_name(value.dtype)}"
        for value, verb in values
        if isinstance(value, torch.Tensor) and value.is_complex()
    )
    where = _where(module_of(node), _traced_line(node))
    return ModelError(
        f"TensorFlow Lite has no ops on complex numbers: {str(node.target).removesuffix('.default')} {what}{where}.",
        "Compute with real numbers, as the real part and the imaginary one, or leave that part to the app. "
        "torch.stft, torch.fft.rfft and their inverses can stay, and what takes their values apart: "
        "abs, real, imag, view_as_real.",
    )


def not_lowered(error: Exception) -> ModelError:
    """Of an error that litert-torch raised."""
    node = _node(error)
    if node is not None:
        is_op = isinstance(node.target, torch._ops.OpOverload)
        op = str(node.target).removesuffix(".default") if is_op else "a weight or constant of the model"
        where = _where(module_of(node), _traced_line(node))
        if isinstance(error, ModelError):
            return ModelError(f"{error.message.removesuffix('.')}{where}.", error.hint)
        used = f", used{where}" if where else ""
        return ModelError(
            f"TensorFlow Lite has no op for {op}{used}."
            if "Lowering not found" in str(error)
            else f"litert-torch cannot convert {op}{used}: {first_line(error)}",
            "Write that module with other ops, or leave its work to the app, before or after the model.",
        )
    text = str(error)
    said = re.search(r'error: (?:"(?P<module>[^"/;]*).*\)\): )?(?P<what>.*)', text)
    line = re.search(r'(?P<file>[^\s"(]+\.py)"?:(?P<number>\d+):\d+', text)
    place = _line(line["file"], int(line["number"])) if line and is_theirs(line["file"]) else ""
    where = _where(said["module"] or "" if said else "", place)
    what = said["what"].partition(": %")[0] if said else first_line(error)  # then come pages of MLIR
    return ModelError(
        f"The converter refused the model{where}: {what}",
        "Write that statement with other ops. Run with --debug to see all that it says.",
        text[-2000:],
    )


def own(path: str) -> str:
    """A module's path in the user's model, without what was wrapped around that."""
    for wrapper in ("program", "network", "program"):
        first, _, rest = path.partition(".")
        path = rest if first == wrapper else path
    return path


def _node(error: Exception) -> torch.fx.Node | None:
    """The node that the converter was at."""
    nodes = [
        value
        for frame, _ in traceback.walk_tb(error.__traceback__)
        for value in (frame.f_locals.get("n"), frame.f_locals.get("node"))
        if isinstance(value, torch.fx.Node)
    ]
    return nodes[-1] if nodes else None


def module_of(node: torch.fx.Node) -> str:
    """The path of the node's module, as torch_convert noted it."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][1]).partition("/")[0] if stack else ""


def _traced_line(node: torch.fx.Node) -> str:
    found = re.findall(r'File "(.*)", line (\d+)', node.stack_trace or "")
    theirs = [(file, int(number)) for file, number in found if is_theirs(file)]
    return _line(*theirs[-1]) if theirs else ""


def _line(file: str, number: int) -> str:
    statement = linecache.getline(file, number).strip()
    return f"{Path(file).name}:{number}" + (f" ({statement})" if statement else "")


def _where(module: str, line: str) -> str:
    return (f" in '{module}'" if module else "") + (f" at {line}" if line else "")
