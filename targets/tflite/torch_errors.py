"""Why PyTorch or litert-torch refuses a model, as a sentence: what, in which module, at which line, and the way round."""

from __future__ import annotations

import linecache
import re
import traceback
from pathlib import Path

import torch
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from edgepack.errors import ModelError

TORCH = str(Path(torch.__file__).parent)


def not_exported(error: Exception, module: torch.nn.Module) -> ModelError:
    """Of an error that torch.export raised while it ran the module's code."""
    paths = {id(each): path for path, each in module.named_modules()}
    path, line = "", ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        names = frame.f_code.co_varnames[: frame.f_code.co_argcount]
        inside = id(frame.f_locals.get(names[0])) if names else 0
        path = paths.get(inside, path)
        if path and inside in paths and not frame.f_code.co_filename.startswith((TORCH, "<")):
            line = _line(frame.f_code.co_filename, number)
    path = own(path)
    where = _where(path, line)
    if isinstance(error, GuardOnDataDependentSymNode):
        return ModelError(
            f"The model decides by the values of a tensor{where}, which a converted graph cannot.",
            "Compute both cases and choose with torch.where, or leave the decision to the app.",
        )
    scripted = [
        own(name) for name, each in module.named_modules() if isinstance(each, torch.jit.ScriptModule)
    ]
    if scripted:
        what = f"The module '{scripted[0]}' is TorchScript inside of a PyTorch module"
        return ModelError(
            f"{what if scripted[0] else 'The model is TorchScript that decides by values'}, which cannot be exported.",
            "Use the module that it was made of; the target torchscript takes it as it is.",
        )
    return ModelError(
        f"torch.export refused the model{where}: {_first_line(error)}",
        "Write that statement with PyTorch's own ops on tensors of fixed shape; --debug shows all that it says.",
        str(error)[-2000:],
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
            else f"litert-torch cannot convert {op}{used}: {_first_line(error)}",
            "Write that module with other ops, or leave its work to the app, before or after the model.",
        )
    text = str(error)
    said = re.search(r'error: (?:"(?P<module>[^"/;]*).*\)\): )?(?P<what>.*)', text)
    line = re.search(r'(?P<file>[^\s"(]+\.py)"?:(?P<number>\d+):\d+', text)
    where = _where(
        said["module"] or "" if said else "", _line(line["file"], int(line["number"])) if line else ""
    )
    return ModelError(
        f"The converter refused the model{where}: {said['what'] if said else _first_line(error)}",
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
    own = [(file, number) for file, number in found if not file.startswith(TORCH)] or found
    return _line(own[-1][0], int(own[-1][1])) if own else ""


def _line(file: str, number: int) -> str:
    statement = linecache.getline(file, number).strip()
    return f"{Path(file).name}:{number}" + (f" ({statement})" if statement else "")


def _where(module: str, line: str) -> str:
    return (f" in '{module}'" if module else "") + (f" at {line}" if line else "")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
