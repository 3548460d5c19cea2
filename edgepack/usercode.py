"""The one place that runs the user's own Python: ``file.py:name`` and ``package.module:name``."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .errors import EdgepackError, ModelError, UsageError


def is_reference(text: str) -> bool:
    """Whether the text names code (``file.py:name``, ``package.module:name``) rather than a path."""
    module, colon, name = text.rpartition(":")
    return bool(colon) and name.isidentifier() and (module.endswith(".py") or _is_dotted(module))


def _is_dotted(text: str) -> bool:
    return bool(text) and all(part.isidentifier() for part in text.split("."))


def resolve(reference: str) -> Callable[..., Any]:
    """The callable that the reference names; imports its module. Raises UsageError, ModelError."""
    module_name, _, name = reference.rpartition(":")
    is_file = module_name.endswith(".py")
    if is_file and not Path(module_name).is_file():
        raise UsageError(
            f"There is no file {module_name}.", "Check the path in the source, as in model.py:build."
        )
    folder = Path(module_name).resolve().parent if is_file else Path.cwd()
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # so that the user's file finds its neighbours, as under plain python
    with user_frames(f"Importing {module_name}"):
        module = _load_file(Path(module_name)) if is_file else importlib.import_module(module_name)
    found = getattr(module, name, None)
    if not callable(found):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        near = get_close_matches(name, public, 1)
        raise UsageError(
            f"{module_name} has no function '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
            f"It has: {', '.join(public[:10]) or 'no functions'}.",
        )
    return found  # type: ignore[no-any-return]


def _load_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be imported as Python.", "Give a .py file, as in model.py:build.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # before it runs: classes made in it are looked up there
    spec.loader.exec_module(module)
    return module


@contextmanager
def user_frames(doing: str) -> Iterator[None]:
    """Turn what the user's code raises into our sentence with their traceback below it, our own frames left out."""
    try:
        yield
    except EdgepackError:
        raise
    except (Exception, SystemExit) as error:
        trace = traceback.TracebackException.from_exception(error)
        ours = str(Path(__file__).parent) + os.sep
        theirs = [
            frame
            for frame in trace.stack
            if not frame.filename.startswith((ours, "<frozen importlib"))
            and "importlib" not in frame.filename
        ]
        trace.stack[:] = [frame for frame in theirs if "site-packages" not in frame.filename] or theirs
        hint = "Run it on its own in Python to see it fail, then build again."
        if "cuda" in str(error).lower():
            hint = "Models are built on the CPU: leave .cuda() out, and load weights with map_location='cpu'."
        raise ModelError(
            f"{doing} raised {type(error).__name__}: {error}",
            hint,
            "".join(trace.format(chain=False)),
        ) from error
