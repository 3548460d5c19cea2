"""A driver (see edgepack/devices/wire.py): a .tflite in the device's own Python, by tflite-runtime or LiteRT.

python tflite_run.py MODEL.tflite
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from edgepack_wire import Loaded, Refusal, Tensor, serve

try:
    from tflite_runtime.interpreter import Interpreter

    RUNTIME = f"tflite-runtime {version('tflite-runtime')}"
except ModuleNotFoundError:
    from ai_edge_litert.interpreter import Interpreter

    RUNTIME = f"LiteRT {version('ai-edge-litert')}"

Details = Mapping[str, Mapping[str, Any]]


def load(path: str) -> Loaded:
    try:
        interpreter = Interpreter(model_path=path)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise _refusal("load", str(error)) from error
    inputs, outputs = _boundary(interpreter)
    expected = [_tensor(name, detail) for name, detail in outputs.items()]

    def run(given: list[bytes]) -> list[bytes]:
        for data, detail in zip(given, inputs.values(), strict=True):
            array = np.frombuffer(data, detail["dtype"]).reshape(detail["shape"])
            interpreter.set_tensor(detail["index"], array)
        try:
            interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise _refusal("run", str(error)) from error
        made = [interpreter.get_tensor(detail["index"]) for detail in outputs.values()]
        for array, tensor in zip(made, expected, strict=True):
            if array.shape != tensor.shape:
                raise Refusal(f"{tensor.name} has the shape {array.shape} this time, not {tensor.shape}.")
        return [array.tobytes() for array in made]

    return Loaded(
        [_tensor(name, detail) for name, detail in inputs.items()], expected, run, {"runtime": RUNTIME}
    )


def _boundary(interpreter: Any) -> tuple[Details, Details]:
    """Details of inputs and outputs by name: of the signature, or the tensors' own where there is none."""
    for name in interpreter.get_signature_list():
        signature = interpreter.get_signature_runner(name)
        return signature.get_input_details(), signature.get_output_details()
    inputs, outputs = (
        {detail["name"]: detail for detail in details}
        for details in (interpreter.get_input_details(), interpreter.get_output_details())
    )
    return inputs, outputs


def _tensor(name: str, detail: Mapping[str, Any]) -> Tensor:
    return Tensor(name, np.dtype(detail["dtype"]).name, tuple(map(int, detail["shape"])))


def _refusal(doing: str, reason: str) -> Refusal:
    new = re.search(r"builtin opcode '(\w+)' version '(\d+)'", reason)
    if new:
        return Refusal(
            f"{RUNTIME} has no {new[1]} of version {new[2]}: the op, or this form of it, is newer than the runtime.",
            "Use a newer runtime where there is one; or write the model without that op, or choose another --precision.",
        )
    custom = re.search(r"unresolved custom op: (\w+)", reason)
    if custom:
        return Refusal(
            f"{RUNTIME} has no op {custom[1]}, which is no builtin one.", "Write the model without it."
        )
    first = next((line.strip() for line in reason.splitlines() if line.strip()), "no reason given")
    return Refusal(f"{RUNTIME} cannot {doing} the artifact: {first[:300]}")


if __name__ == "__main__":
    serve(load)
