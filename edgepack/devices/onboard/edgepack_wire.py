"""The device's end of the wire (see edgepack/devices/wire.py), for drivers in Python.

It runs in the device's own Python, with nothing of edgepack around it: the standard library alone.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

LOADING, RUNNING = 3, 4
"""Exit codes."""


class Refusal(Exception):
    """The runtime cannot load or run the artifact: why, and what to do."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.hint = hint


@dataclass(frozen=True)
class Tensor:
    """An input or output as the artifact stores it; ``dtype`` is numpy's name."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        bits = int("".join(filter(str.isdigit, self.dtype)) or 8)
        return math.prod(self.shape) * bits // 8

    def __str__(self) -> str:
        return f"{self.dtype} {'x'.join(map(str, self.shape)) or '-'} {self.name}"


@dataclass(frozen=True)
class Loaded:
    """An artifact in a runtime.

    Attributes:
        run: the bytes of all inputs in their order, and those of all outputs.
        facts: what the runtime tells besides.
    """

    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    run: Callable[[list[bytes]], list[bytes]]
    facts: Mapping[str, str] = field(default_factory=dict)


def serve(load: Callable[..., Loaded]) -> None:
    """Load what the command line names, and answer until there is nothing more to answer."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # runtimes print where they like
    code = LOADING
    try:
        loaded = load(*sys.argv[1:])
        code = RUNNING
        lines = [f"fact {name} {text}" for name, text in loaded.facts.items()]
        lines += [f"in {each}" for each in loaded.inputs] + [f"out {each}" for each in loaded.outputs]
        answers.write("".join(f"{line}\n" for line in [*lines, "ready"]).encode())
        answers.flush()
        while given := _receive(loaded.inputs):
            for made in loaded.run(given):
                answers.write(made)
            answers.flush()
    except Refusal as error:
        _end(code, f"error: {error}", f"hint: {error.hint}" if error.hint else "")
    _end(0)  # runtimes take long to tear down, and some crash on the way


def _receive(inputs: Sequence[Tensor]) -> list[bytes]:
    """The bytes of all inputs; none when stdin has ended."""
    given = [sys.stdin.buffer.read(each.bytes) for each in inputs]
    return given if all(len(data) == each.bytes for data, each in zip(given, inputs, strict=True)) else []


def _end(code: int, *lines: str) -> None:
    for line in filter(None, lines):
        print(line, file=sys.stderr)
    sys.stderr.flush()
    os._exit(code)
