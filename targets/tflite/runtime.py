"""An artifact in LiteRT on this machine, and its audit."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgepack.errors import ModelError
from edgepack.meter import PeakMemory, timed
from edgepack.precision.causes import Stored
from edgepack.quantization import dequantize, quantize
from edgepack.spec import Array, Arrays, Quantization, Signature
from edgepack.target import Artifact

from .flatbuffer import ModelView, mistrust
from .scaled import scales_in
from .stored import stored

REFERENCE = "reference"
"""The backend with the plain kernels: those that older runtimes have on 32-bit Arm, and microcontrollers."""


class LiteRTRunner:
    """Real values in and out (see edgepack.target.Runner); what is quantized is converted at the boundary."""

    def __init__(self, artifact: Artifact, backend: str = "") -> None:
        self._data = artifact.main.read_bytes()
        view = ModelView(self._data)
        self.signature: Signature = view.signature
        self._kinds = {op.name: op.kind for op in view.ops if op.subgraph == 0}
        with mistrust():
            self._scales = scales_in(view)
        kernels = OpResolverType.BUILTIN_REF if backend == REFERENCE else OpResolverType.AUTO
        self._fast = open_interpreter(self._data, experimental_op_resolver_type=kernels)
        self._slow: Any = None

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        return self._run(self._fast, inputs)

    def layers(self, inputs: Arrays) -> dict[str, Array]:
        """Every op's first output, as the model has it: channels that were equalised are scaled back. The reference path keeps them all; XNNPACK fuses ops and drops what is between."""
        if self._slow is None:
            self._slow = open_interpreter(
                self._data,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )
        self._run(self._slow, inputs)
        found = {}
        for detail in self._slow.get_tensor_details():
            kind = self._kinds.get(detail["name"])
            if kind is None or kind in ("QUANTIZE", "DEQUANTIZE"):
                continue
            scale, zero_point = detail["quantization"]
            value = dequantize(
                self._slow.get_tensor(detail["index"]), Quantization(scale, zero_point) if scale else None
            )
            if value.dtype.kind == "f" and value.size:
                found[detail["name"]] = value / self._scales.get(detail["name"], np.float32(1))
        order = {name: position for position, name in enumerate(self._kinds)}
        return dict(sorted(found.items(), key=lambda item: order[item[0]]))

    def stored(self, inputs: Arrays, weighed: Collection[str] = ()) -> Mapping[str, Stored]:
        """See stored.stored; the file tells, whatever the inputs."""
        with mistrust():
            return stored(ModelView(self._data), weighed)

    def _run(self, interpreter: Any, inputs: Arrays) -> dict[str, Array]:
        run = interpreter.get_signature_runner()
        stored = run(**{spec.name: quantize(inputs[spec.name], spec) for spec in self.signature.inputs})
        return {
            spec.name: dequantize(stored[spec.name], spec.quantization) for spec in self.signature.outputs
        }


class LiteRTMeter:
    """See edgepack.target.Meter. A call is one ``Interpreter.invoke``."""

    runtime = "LiteRT"

    def __init__(self, artifact: Artifact, threads: int) -> None:
        self._signature = ModelView(artifact.main.read_bytes()).signature
        self.threads = threads
        self.memory = PeakMemory()
        start = time.perf_counter()
        self._interpreter = open_interpreter(artifact.main.read_bytes(), num_threads=threads)
        self.load_seconds = time.perf_counter() - start
        self._fed = self._interpreter.get_signature_runner().get_input_details()

    def time(self, inputs: Arrays, calls: int) -> list[float]:
        try:
            for spec in self._signature.inputs:
                self._interpreter.set_tensor(self._fed[spec.name]["index"], quantize(inputs[spec.name], spec))
            return timed(self._interpreter.invoke, calls)
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"LiteRT cannot run the artifact: {error}", "Build the bundle again.") from error


def open_interpreter(data: bytes, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping all tensors is for debugging is why it is asked for
        try:
            options = {"num_threads": os.cpu_count() or 1, **options}
            interpreter = Interpreter(model_content=data, **options)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"LiteRT cannot load the artifact: {str(error).strip().splitlines()[0]}",
                "If it names an op, replace it in the model, or choose another --precision.",
            ) from error
    return interpreter
