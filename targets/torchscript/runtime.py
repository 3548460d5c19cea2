"""An artifact in PyTorch's lite interpreter on this machine, with the integer kernels that phones have."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.jit.mobile import _load_for_lite_interpreter

from edgepack.errors import MissingToolError, ModelError, UsageError
from edgepack.meter import PeakMemory, timed
from edgepack.precision.causes import Stored
from edgepack.spec import Array, Arrays, Signature
from edgepack.target import Artifact

from .archive import Archive, mistrust, read
from .audit import op_names, read_signature
from .machine import Call, check, is_straight, run, walk
from .scaled import scales_in
from .stored import stored

ENGINE = "qnnpack"


@contextmanager
def qnnpack() -> Iterator[None]:
    """Pack and run int8 as phones do. Raises MissingToolError."""
    if ENGINE not in torch.backends.quantized.supported_engines:
        raise MissingToolError(
            "This build of PyTorch has no qnnpack, the integer kernels of phones.",
            "Install PyTorch from its wheel for x86-64 or arm64.",
        )
    _silence()
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = ENGINE
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


@cache
def _silence() -> None:
    """Have PyTorch say now, and to nobody, that it will drop quantized tensors: it says so once a process.

    The range of PyTorch versions that the target takes ends before that.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.quantize_per_tensor(torch.zeros(1), 1.0, 0, torch.quint8)


class LiteRunner:
    """Real values in and out (see edgepack.target.Runner). Raises ModelError."""

    def __init__(self, artifact: Artifact) -> None:
        self._data = artifact.main.read_bytes()
        self._archive, self.signature = _checked(self._data)
        self._scales = scales_in(self._archive.notes)
        self._attributes: Sequence[Any] | None = None
        with qnnpack():
            self._module = _load(self._data)

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        with torch.inference_mode(), qnnpack(), _failing("run"):
            made = self._module(*_tensors(self.signature, inputs))
        outputs = made if isinstance(made, tuple | list) else (made,)
        return {spec.name: _real(value) for spec, value in zip(self.signature.outputs, outputs, strict=True)}

    def layers(self, inputs: Arrays) -> dict[str, Array]:
        """What each op gives, by its name: the file's own bytecode, followed op by op with the same kernels.

        Empty for a file with branches, or without the code that only torch.jit.load reads.
        """
        found: dict[str, Array] = {}

        def see(name: str, call: Call, made: torch.Tensor) -> None:
            if (made.is_quantized or made.is_floating_point()) and made.numel():
                found[name] = _unscaled(_real(made), self._scales.made.get(name))

        self._follow(inputs, see)
        return found

    def stored(self, inputs: Arrays, weighed: Collection[str] = ()) -> Mapping[str, Stored]:
        """See stored.stored; empty where ``layers`` is."""
        found: dict[str, Stored] = {}

        def see(name: str, call: Call, made: torch.Tensor) -> None:
            scales = self._scales.made.get(name), self._scales.read.get(name)
            found[name] = stored(call, made, found.get(name), name in weighed, *scales)

        self._follow(inputs, see)
        return found

    def _follow(self, inputs: Arrays, see: Callable[[str, Call, torch.Tensor], None]) -> None:
        """Run the bytecode and show the first result of every named op that gives tensors."""
        method = self._archive.forward
        names = op_names(self._archive)
        if not is_straight(method) or not self._load_attributes():
            return

        def compute(call: Call) -> Sequence[Any]:
            made = run(call)
            name = names[call.number]
            is_value = name and made and isinstance(made[0], torch.Tensor)
            if is_value and not name.endswith((".quantize", ".dequantize")):
                see(name, call, made[0])
            return made

        with torch.inference_mode(), qnnpack(), _failing("run"):
            walk(method, _tensors(self.signature, inputs), self._attributes or (), compute)

    def _load_attributes(self) -> bool:
        if self._attributes is None:
            with qnnpack(), _failing("load"):
                module = torch.jit.load(io.BytesIO(self._data))  # type: ignore[no-untyped-call]
            self._attributes = [getattr(module, name) for name, _ in self._archive.attributes]
        return True


class LiteMeter:
    """See edgepack.target.Meter. A call is one call of the loaded module, tensors in and out. Raises ModelError."""

    runtime = "PyTorch lite interpreter"

    def __init__(self, artifact: Artifact, threads: int) -> None:
        _, self._signature = _checked(artifact.main.read_bytes())
        torch.set_num_threads(threads)  # of qnnpack's pool too
        self.threads = threads
        with qnnpack():
            self.memory = PeakMemory()
            start = time.perf_counter()
            self._module = _load(artifact.main.read_bytes())
            self.load_seconds = time.perf_counter() - start

    def time(self, inputs: Arrays, calls: int) -> list[float]:
        tensors = _tensors(self._signature, inputs)
        with torch.inference_mode(), qnnpack(), _failing("run"):
            return timed(lambda: self._module(*tensors), calls)


def _checked(data: bytes) -> tuple[Archive, Signature]:
    """What is in a file that may come from anywhere, before PyTorch is given it. Raises ModelError."""
    try:
        archive = read(data)
        with mistrust():
            check(archive)
            scales_in(archive.notes)
        return archive, read_signature(archive)
    except UsageError as error:
        raise ModelError(error.message, error.hint) from error


def _load(data: bytes) -> Any:
    with _failing("load"):
        return _load_for_lite_interpreter(io.BytesIO(data))  # type: ignore[no-untyped-call]


def _tensors(signature: Signature, inputs: Arrays) -> list[torch.Tensor]:
    for spec in signature.inputs:
        if spec.shape and inputs[spec.name].shape != spec.shape:
            raise ModelError(
                f"The input {spec} was given {inputs[spec.name].shape}.", "Build the bundle again."
            )
    return [torch.tensor(np.asarray(inputs[spec.name], spec.dtype)) for spec in signature.inputs]


def _real(made: torch.Tensor) -> Array:
    return (made.dequantize() if made.is_quantized else made).numpy()


def _unscaled(values: Array, scales: Array | None) -> Array:
    """As the model has them, the channels being the second axis."""
    if scales is None:
        return values
    return values / scales.reshape(1, -1, *[1] * (values.ndim - 2))


@contextmanager
def _failing(doing: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no reason given"]
        raise ModelError(
            f"PyTorch's lite interpreter cannot {doing} the artifact: {lines[0][:300]}",
            "If it names an op, replace it in the model, or choose another --precision.",
        ) from error
