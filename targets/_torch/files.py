"""Model files, told by what is in them: nothing that is pickled in one ever runs."""

from __future__ import annotations

import ast
import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from edgepack.errors import ModelError, UsageError

SAVE_AGAIN = "Save it again: torch.jit.save(torch.jit.script(model), ...) or torch.export.save(...)."

ARITHMETIC = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.BinOp, ast.UnaryOp, ast.Compare,
    ast.BoolOp, ast.operator, ast.unaryop, ast.cmpop, ast.boolop,
)  # fmt: skip


def load(path: Path) -> object:
    """A TorchScript module or an exported program. Raises ModelError for any other file."""
    if not path.is_file():
        raise UsageError(f"{path} is not a file.", "Give a TorchScript or torch.export file.")
    names = _members(path)
    if any("/code/" in name for name in names):
        return _scripted(path)
    if any(name.endswith(("/archive_format", "serialized_exported_program.json")) for name in names):
        return _exported(path, names)
    raise _pickled(path)


def _members(path: Path) -> list[str]:
    """The files in it, below one folder; none where it is no archive."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        return [f"/{name}" for name in archive.namelist()]


def _scripted(path: Path) -> object:
    try:
        return torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    except Exception as error:
        raise ModelError(
            f"{path} cannot be loaded by PyTorch {torch.__version__}: {first_line(error)}", SAVE_AGAIN
        ) from error


def _exported(path: Path, names: list[str]) -> object:
    if any("/data/aotinductor/" in name for name in names):
        raise ModelError(
            f"{path} holds machine code of AOTInductor, which is not run.",
            "Give the program that it was compiled from: torch.export.save(program, 'model.pt2').",
        )
    _refuse_expressions(path)
    try:
        with _tensors_only():
            return torch.export.load(path)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} has pickled Python objects among its tensors, which are not loaded.",
            "Build the model by a file.py:factory instead.",
        ) from error
    except Exception as error:
        raise ModelError(
            f"{path} cannot be loaded by PyTorch {torch.__version__}: {first_line(error)}", SAVE_AGAIN
        ) from error


@contextmanager
def _tensors_only() -> Iterator[None]:
    """``torch.export.load`` offers no ``weights_only``, and unpickles what it cannot read otherwise."""
    read = torch.load

    def load(*args: Any, **options: Any) -> Any:
        return read(*args, **{**options, "weights_only": True, "map_location": "cpu"})

    def refuse(*args: Any, **options: Any) -> Any:
        raise pickle.UnpicklingError("a pickled object")

    with (
        patch.object(torch, "load", load),
        patch.object(pickle, "load", refuse),
        patch.object(pickle, "loads", refuse),
    ):
        yield


def _refuse_expressions(path: Path) -> None:
    """Sizes are stored as expressions, which are evaluated as Python. Raises ModelError for one that is no arithmetic."""
    with zipfile.ZipFile(path) as archive:
        texts = [archive.read(name) for name in archive.namelist() if name.endswith(".json")]
    for text in texts:
        try:
            _check_expressions(json.loads(text))
        except (ValueError, SyntaxError) as error:
            raise ModelError(f"{path} is damaged: {first_line(error)}", SAVE_AGAIN) from error


def _check_expressions(value: Any) -> None:
    if isinstance(value, dict):
        expression = value.get("expr_str", "0")
        if not _is_arithmetic(expression):
            raise ValueError(f"a size is {expression[:80]!r}")
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            _check_expressions(each)


def _is_arithmetic(expression: str) -> bool:
    """Whether it is made of numbers, symbols, operators and SymPy's classes alone, as in ``2*Symbol('s0', integer=True)``."""
    for node in ast.walk(ast.parse(expression.strip(), mode="eval")):
        named = not isinstance(node, ast.Call) or (
            isinstance(node.func, ast.Name) and node.func.id[:1].isupper()
        )
        text = getattr(node, "value", "") if isinstance(node, ast.Constant) else ""
        plain = not isinstance(text, str) or re.fullmatch(r"\w*", text)
        if not (isinstance(node, ARITHMETIC) and named and plain):
            return False
    return True


def _pickled(path: Path) -> ModelError:
    """What to say of a file that is neither; reads tensors and plain containers of it, nothing else."""
    build = "Build the model in code: a file.py:factory"
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"(?i)unsupported (?:global|class|operand)\W+(?:global )?([\w.]*)", str(error))
        if found:
            return ModelError(
                f"{path} is a pickled Python object ({found[1]}), which is not loaded: unpickling runs code.",
                f"{build} that returns it; or save it as TorchScript or by torch.export.",
            )
        return _damaged(path)
    except Exception:
        return _damaged(path)
    load_it = f"{build} that makes the module and calls module.load_state_dict(torch.load(path, weights_only=True))."
    if isinstance(held, dict) and held and all(isinstance(value, torch.Tensor) for value in held.values()):
        return ModelError(f"{path} holds {len(held)} weights (a state_dict) and no model.", load_it)
    what = (
        f"a checkpoint ({', '.join(map(str, list(held)[:5]))})"
        if isinstance(held, dict)
        else f"a {type(held).__name__}"
    )
    return ModelError(f"{path} holds {what} and no model.", load_it)


def _damaged(path: Path) -> ModelError:
    return ModelError(f"{path} is no PyTorch file, or it is damaged.", SAVE_AGAIN)


def first_line(error: Exception) -> str:
    """What an error of PyTorch says, without the pages below it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and "TorchScript interpreter" in lines[0]:
        lines = [lines[-1].removeprefix("RuntimeError: ")]
    return lines[0][:400] if lines else type(error).__name__
