"""A driver (see edgepack/devices/wire.py): a .tflite in the interpreter of TensorFlow Lite Micro.

    python micro_run.py MODEL.tflite ARENA

ARENA is how many bytes of working memory there are; 0: as many as it takes.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from edgepack_wire import Loaded, Refusal, Tensor, serve
from tflite_micro.python.tflite_micro import runtime
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

T = TypeVar("T")

MOST = 2**29
"""Of working memory; no microcontroller has as much."""

STEP = 16
"""What the arena's parts are aligned to, in bytes."""

KINDS = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


def load(path: str, arena: str) -> Loaded:
    with open(path, "rb") as file:
        data = file.read()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    interpreter, said = _hearing(lambda: _open(data, MOST))
    if interpreter is None:
        raise _refusal(said)
    needed, has = _least(data, interpreter), int(arena)
    if has and needed > has:
        raise Refusal(
            f"The model needs an arena of {needed:,} bytes of working memory; there are {has:,}.",
            "Smaller inputs or fewer channels in the early layers need less.",
        )
    inputs, outputs = (_boundary(model, kind) for kind in ("inputs", "outputs"))
    taken = [_tensor(name, interpreter.get_input_details(at)) for name, at in inputs.items()]
    given = [_tensor(name, interpreter.get_output_details(at)) for name, at in outputs.items()]

    def run(stored: list[bytes]) -> list[bytes]:
        for content, tensor, at in zip(stored, taken, inputs.values(), strict=True):
            interpreter.set_input(np.frombuffer(content, tensor.dtype).reshape(tensor.shape), at)
        ran, said = _hearing(lambda: _attempt(interpreter.invoke) is not None)
        if not ran:
            raise _refusal(said)
        return [interpreter.get_output(at).tobytes() for at in outputs.values()]

    return Loaded(taken, given, run, {"arena": f"{needed:,} bytes", "ops": ", ".join(_ops(model))})


def _open(data: bytes, arena: int) -> Any:
    """An interpreter; ``None`` where it cannot load the model into such an arena."""
    return _attempt(lambda: runtime.Interpreter.from_bytes(data, arena_size=arena))


def _attempt(do: Callable[[], T]) -> T | None:
    try:
        return do()
    except RuntimeError:  # it says why on stderr alone
        return None


def _least(data: bytes, interpreter: Any) -> int:
    """The smallest arena that the model loads into, in bytes: a little more than it uses, which is what it tells."""
    _, said = _hearing(interpreter.print_allocations)
    total = re.search(r"allocation total (\d+) bytes", said)
    if total is None:
        raise Refusal("TensorFlow Lite Micro does not tell how much memory the model takes.")

    def suffices(steps: int) -> bool:
        return _hearing(lambda: _open(data, least + steps * STEP) is not None)[0]

    least = -(-int(total[1]) // STEP) * STEP
    low, high = -1, 0
    while not suffices(high):
        low, high = high, 2 * high + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return least + high * STEP


def _hearing(do: Callable[[], T]) -> tuple[T, str]:
    """What it returns, and what it writes to stderr meanwhile: the reasons are told nowhere else."""
    with tempfile.TemporaryFile() as heard:
        before = os.dup(2)
        os.dup2(heard.fileno(), 2)
        try:
            made = do()
        finally:
            os.dup2(before, 2)
            os.close(before)
        heard.seek(0)
        return made, heard.read().decode(errors="replace")


def _boundary(model: Any, kind: str) -> dict[str, int]:
    """The positions of inputs or outputs by name: the signature's, or the tensors' own where there is none."""
    graph = model.subgraphs[0]
    places = {int(index): position for position, index in enumerate(getattr(graph, kind))}
    if model.signatureDefs:
        entries = getattr(model.signatureDefs[0], kind)
        return {entry.name.decode(): places[entry.tensorIndex] for entry in entries}
    return {graph.tensors[index].name.decode(): position for index, position in places.items()}


def _tensor(name: str, detail: dict[str, Any]) -> Tensor:
    return Tensor(name, np.dtype(detail["dtype"]).name, tuple(map(int, detail["shape"])))


def _ops(model: Any) -> list[str]:
    """The kinds of ops in the model, sorted: what an app has to register."""
    return sorted(
        {
            code.customCode.decode()
            if code.customCode
            else KINDS.get(max(code.builtinCode, code.deprecatedBuiltinCode), "UNKNOWN")
            for code in model.operatorCodes
        }
    )


def _refusal(said: str) -> Refusal:
    missing = re.search(r"Didn't find op for builtin opcode '(\w+)'|Unsupported custom operator: (\w+)", said)
    if missing:
        return Refusal(
            f"TensorFlow Lite Micro has no {missing[1] or missing[2]}.",
            "Write the model without that op.",
        )
    if "Hybrid models are not supported" in said:
        return Refusal(
            "TensorFlow Lite Micro has no kernels for int8 weights with float activations.",
            "Build with --precision int8 or float32.",
        )
    if "Failed to allocate" in said:
        return Refusal(
            f"The model needs more than {MOST:,} bytes of working memory.", "Build it for another device."
        )
    reason = next((line.strip() for line in said.splitlines() if line.strip()), "it does not say why")
    node = re.search(r"Node (\w+) \(number (\d+)\) failed", said)
    where = f"{node[1]} (op {node[2]})" if node else "the model"
    return Refusal(
        f"TensorFlow Lite Micro cannot run {where}: {reason[:300].rstrip('.')}.",
        "Its kernels take fewer types and shapes than TensorFlow Lite's; replace the op, or choose another --precision.",
    )


if __name__ == "__main__":
    serve(load)
