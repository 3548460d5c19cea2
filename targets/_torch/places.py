"""Where in the user's model something happens: the module by its path, and the line of their source."""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import dropwhile, takewhile
from pathlib import Path
from types import FrameType

import torch

from edgepack.errors import EdgepackError, ModelError

from .files import first_line

OWN = str(Path(__file__).parent) + os.sep
TORCH = str(Path(torch.__file__).parent) + os.sep
STDLIB = sysconfig.get_path("stdlib") + os.sep
WATCHING = ("recorder.py", "edges.py", "places.py")
"""Our files whose frames lie inside a call of the user's module; any other calls it."""

Frames = list[tuple[FrameType, int]]  # innermost first, with the line


def running(module: torch.nn.Module) -> str:
    """Where the call of the module that is running is now."""
    return _describe(list(traceback.walk_stack(sys._getframe(1))), module)


def raised_in(error: Exception, module: torch.nn.Module) -> str:
    """Where the call of the module was when it raised."""
    return _describe(list(traceback.walk_tb(error.__traceback__))[::-1], module)


@contextmanager
def explained(module: torch.nn.Module, given: str) -> Iterator[None]:
    """Turn what a call of the module raises into a ModelError that says where.

    Args:
        given: what the module is called with, in words.
    """
    try:
        yield
    except EdgepackError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {first_line(error).rstrip('.')}"
        hint = "Call it once in Python with such inputs; if its inputs are others, give --shape NAME=1x3x224x224."
        if "cuda" in said.lower():
            hint = "Everything is computed on the CPU: make new tensors where the input is, device=x.device."
        raise ModelError(
            f"The model cannot compute with {given}. {said}. This is in {raised_in(error, module)}.", hint
        ) from error


def _describe(frames: Frames, module: torch.nn.Module) -> str:
    inner = dropwhile(lambda each: _calls_it(each[0]), frames)
    frames = list(takewhile(lambda each: not _calls_it(each[0]), inner))
    paths = {id(each): path for path, each in module.named_modules()}
    running = (_module(frame) for frame, _ in frames)
    inside = next((each for each in running if id(each) in paths), module)
    path, kind = paths[id(inside)], type(inside).__name__
    where = f"the module '{path}' ({kind})" if path else f"the model ({kind})"
    theirs = ((frame, number) for frame, number in frames if is_theirs(frame.f_code.co_filename))
    line = next((_line(frame, number) for frame, number in theirs), "")
    return f"{where}, {line}" if line else where


def _calls_it(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return name.startswith(OWN) and not name.endswith(WATCHING)


def _module(frame: FrameType) -> object:
    """What the frame's function is a method of."""
    first = frame.f_code.co_varnames[:1] if frame.f_code.co_argcount else ()
    return frame.f_locals.get(first[0]) if first else None


def is_theirs(name: str) -> bool:
    """Whether a file of source is the user's, or of a package that they use; PyTorch's and ours are not."""
    is_library = name.startswith(STDLIB) and "site-packages" not in name
    return not is_library and not name.startswith((OWN, TORCH, "<"))


def _line(frame: FrameType, number: int) -> str:
    name = frame.f_code.co_filename
    code = linecache.getline(name, number).strip()
    return f"{Path(name).name} line {number}" + (f": {code}" if code else "")
