"""The wire: how edgepack talks to a driver, a program that runs an artifact in another machine's runtime.

A driver loads the artifact that its command line names and writes what that takes and gives to stdout, a line each:
``in DTYPE SHAPE NAME``, ``out DTYPE SHAPE NAME`` (SHAPE is ``1x224x224x3``, or ``-`` for a scalar; NAME comes last and may
hold spaces), ``fact NAME TEXT`` for what a person may want to know; then ``ready``. From there on it reads the raw
little-endian bytes of all inputs, in the order of its ``in`` lines, and answers with those of all outputs, until its stdin
ends. Where it knows no names it writes the positions: 0, 1, ...

Values on the wire are those that the artifact stores. What goes wrong is a line ``error: TEXT`` on stderr, perhaps one
``hint: TEXT``, and the exit code 3 (it cannot load) or 4 (it cannot run).
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..bundle.manifest import Manifest, TensorEntry
from ..errors import GateError, ModelError
from ..quantization import dequantize, quantize
from ..spec import Array, Arrays, Quantization, TensorSpec
from .child import Child, Command
from .endings import ending
from .setup import parts

MOST_LINES = 10_000
LONGEST_LINE = 10_000
ENDING = 10.0
"""How long a driver may take to end of itself, in seconds."""

DTYPES = frozenset(
    ("bool", "float16", "float32", "float64")
    + tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
)

ONBOARD = Path(__file__).with_name("onboard")


def python_environment(*folders: Path) -> dict[str, str]:
    """The environment of a driver in Python: the wire's other end, and the packages in these folders."""
    return {
        "PYTHONPATH": os.pathsep.join(map(str, (ONBOARD, *folders))),
        "PYTHONNOUSERSITE": "1",
        "PYTHONPYCACHEPREFIX": str(parts.bytecode()),  # parts do not change; and compiling anew takes seconds
    }


@dataclass(frozen=True)
class Limits:
    """How long a driver may take to load the artifact, and for each answer, in seconds.

    An emulated processor is some ten times slower than this one, which may have other things to do.
    """

    load: float = 300.0
    answer: float = 300.0


@contextmanager
def driven(command: Command, manifest: Manifest, limits: Limits = Limits()) -> Iterator[Driver]:
    """A driver with the manifest's artifact loaded; it ends, with all that it started, when the context does.

    Raises:
        MissingToolError: it does not start.
        ModelError: it cannot load the artifact, or has other inputs and outputs than the manifest says.
        GateError: it gave more than it was asked for.
    """
    child = Child(command)
    try:
        driver = Driver(child, command.processor, limits)
        driver.load(manifest)
        yield driver
        driver.finish()
    finally:
        child.end()


class Driver:
    """A driver that runs; a Player: named real arrays in and out.

    Attributes:
        facts: what it tells of itself besides: working memory, say.
    """

    def __init__(self, child: Child, processor: str, limits: Limits) -> None:
        self.facts: dict[str, str] = {}
        self._child, self._processor, self._limits = child, processor, limits
        self._inputs: Sequence[TensorSpec] = ()
        self._outputs: Sequence[TensorSpec] = ()

    def load(self, manifest: Manifest) -> None:
        """Wait for the artifact to be loaded. Raises ModelError."""
        found: dict[str, list[TensorSpec]] = {"in": [], "out": []}
        with self._patience(self._limits.load, "load the artifact"):
            for kind, rest in self._lines():
                if kind == "fact":
                    name, _, text = rest.partition(" ")
                    self.facts[name] = text
                elif kind in found:
                    found[kind].append(self._spec(rest))
                else:
                    raise self._babble(f"{kind} {rest}")
        self._inputs = _matched("inputs", found["in"], manifest.inputs)
        self._outputs = _matched("outputs", found["out"], manifest.outputs)

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        """Raises ModelError: it cannot run the artifact. Raises GateError: its answer is too short."""
        stored = [quantize(inputs[spec.name], spec) for spec in self._inputs]
        with self._patience(self._limits.answer, "answer"):
            for array in stored:
                self._child.given.write(np.ascontiguousarray(array, _wired(array.dtype)).tobytes())
            self._child.given.flush()
            return {spec.name: self._received(spec) for spec in self._outputs}

    def finish(self) -> None:
        """See that it gave nothing that nobody asked for; how it ends matters to nobody. Raises GateError."""
        with self._patience(ENDING, "end"):
            self._child.given.close()
            if self._child.answers.read(1):
                raise GateError("it gave more bytes than its outputs have")

    def _received(self, spec: TensorSpec) -> Array:
        dtype = _wired(np.dtype(spec.dtype))
        wanted = math.prod(spec.static_shape) * dtype.itemsize
        data = self._child.answers.read(wanted)
        if len(data) < wanted:
            raise EOFError(f"it gave {len(data)} bytes of {spec.name}, which has {wanted}")
        stored = np.frombuffer(data, dtype).reshape(spec.static_shape)
        real: Array = dequantize(stored.astype(spec.dtype), spec.quantization)
        return real

    def _lines(self) -> Iterator[tuple[str, str]]:
        """What it writes until it is ready, as first word and rest. Raises EOFError."""
        for _ in range(MOST_LINES):
            line = self._child.answers.readline(LONGEST_LINE)
            if not line:
                raise EOFError
            text = line.decode(errors="replace").rstrip("\n")
            if text == "ready":
                return
            first, _, rest = text.partition(" ")
            yield first, rest
        raise self._babble(text)

    def _spec(self, line: str) -> TensorSpec:
        """Of ``DTYPE SHAPE NAME``."""
        try:
            dtype, shape, name = line.split(" ", 2)
            sizes = () if shape == "-" else tuple(map(int, shape.split("x")))
        except ValueError as error:
            raise self._babble(line) from error
        return TensorSpec(name, sizes, dtype)

    def _babble(self, line: str) -> ModelError:
        return ModelError(
            f"The driver says what is not understood: {line[:100]!r}.",
            "Install the device again.",
            self._child.said,
        )

    @contextmanager
    def _patience(self, seconds: float, doing: str) -> Iterator[None]:
        """Kill it when the time is up. Whatever ends it becomes the error that says so."""
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._child.kill()

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            yield
        except (EOFError, BrokenPipeError) as error:
            code = self._child.code()
            if late.is_set():
                raise ModelError(
                    f"It did not {doing} within {seconds:g} s, and was stopped.",
                    "A smaller model or input takes less time.",
                    self._child.said,
                ) from error
            if code == 0 and str(error):
                raise GateError(str(error)) from error
            raise ending(code, self._child.said, self._processor) from error
        finally:
            timer.cancel()


def _matched(kind: str, said: Sequence[TensorSpec], entries: Sequence[TensorEntry]) -> list[TensorSpec]:
    """The manifest's inputs or outputs in the driver's order. Raises ModelError where they are others."""
    wanted = list(map(_as_spec, entries))
    if [spec.name for spec in said] == [str(position) for position in range(len(wanted))]:
        ordered = wanted
    else:
        known = {spec.name: spec for spec in wanted}
        ordered = [known[spec.name] for spec in said if spec.name in known]
    names = sorted(spec.name for spec in ordered) == sorted(spec.name for spec in wanted)
    if not names or list(map(_stored, ordered)) != list(map(_stored, said)):
        raise ModelError(
            f"The runtime there has the {kind} {_listed(said)}; the manifest says {_listed(wanted)}.",
            "Build the bundle again.",
        )
    for spec in wanted:
        if spec.dtype not in DTYPES:
            raise ModelError(f"{spec} is of a type that no driver takes.", "Verify it with --device host.")
    return ordered


def _stored(spec: TensorSpec) -> tuple[tuple[int | None, ...], str]:
    return spec.shape, spec.dtype


def _as_spec(entry: TensorEntry) -> TensorSpec:
    stored = entry.quantization
    quantization = Quantization(stored.scale, stored.zero_point) if stored else None
    return TensorSpec(entry.name, entry.shape, entry.dtype, quantization)


def _wired(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    return dtype.newbyteorder("<")


def _listed(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(map(str, specs))[:1000] or "none"
