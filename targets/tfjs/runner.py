"""An artifact in TensorFlow.js on Node: the same JavaScript and WebAssembly as in a browser, without one."""

from __future__ import annotations

import contextlib
import json
import struct
import subprocess
import tempfile
import weakref
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from edgepack.errors import ModelError
from edgepack.meter import PeakMemory
from edgepack.precision.causes import Stored
from edgepack.spec import Array, Arrays, Signature, TensorSpec
from edgepack.target import Artifact

from .node import Node, runtime_files
from .stored import stored

SCRIPT = Path(__file__).with_name("runtime") / "run.mjs"

DTYPES = {
    "DT_FLOAT": "float32",
    "DT_HALF": "float32",
    "DT_BOOL": "bool",
    **dict.fromkeys(("DT_INT64", "DT_INT32", "DT_INT16", "DT_INT8", "DT_UINT16", "DT_UINT8"), "int32"),
}
"""What TensorFlow.js holds a tensor of the graph as: it has one float, one integer and a boolean type."""

PAGE_BACKENDS = ("wasm", "webgl", "webgpu", "cpu")
"""What a page can compute with, best first."""

HINT = "If it names an op, replace it in the model; or choose another target."


def read_signature(model_json: Mapping[str, Any]) -> Signature:
    """The signature in a parsed model.json; a batch that may vary is 1. Raises ModelError."""
    try:
        found = model_json["signature"]
        return Signature(
            tuple(_spec(name, entry) for name, entry in found["inputs"].items()),
            tuple(_spec(name, entry) for name, entry in found["outputs"].items()),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            "The model.json has no readable signature of inputs and outputs.", "Build the bundle again."
        ) from error


def _spec(name: str, entry: Mapping[str, Any]) -> TensorSpec:
    sizes = [int(dim["size"]) for dim in entry.get("tensorShape", {}).get("dim", ())]
    shape = tuple(size if size >= 0 else 1 if axis == 0 else None for axis, size in enumerate(sizes))
    return TensorSpec(name, shape, DTYPES[entry["dtype"]])


def _check_shards(model_json: Mapping[str, Any], artifact: Artifact) -> None:
    """Refuse weights in other files than the artifact's: Node would open whatever a stranger names. Raises ModelError."""
    try:
        named = {str(path) for group in model_json["weightsManifest"] for path in group["paths"]}
    except (KeyError, TypeError) as error:
        raise ModelError("The model.json names no weights.", "Build the bundle again.") from error
    if others := named - set(artifact.files):
        raise ModelError(
            f"The model.json names weights that are no part of the artifact: {min(others)[:100]!r}.",
            "Do not use this bundle.",
        )


class NodeRunner:
    """Named arrays in and out (see edgepack.target.Runner), by a Node process that lives as long as this object.

    It is a Meter too: a call to ``time`` is what a page does, typed arrays in and out; memory is that of the Node process.

    Args:
        artifact: its main file is the model.json; the shards lie beside it.
        backend: ``wasm``, bit-identical to what a browser computes, or ``cpu``, plain JavaScript.

    Raises:
        MissingToolError: no Node, or TensorFlow.js can be neither found nor fetched.
        ModelError: TensorFlow.js cannot load the model.
    """

    def __init__(self, artifact: Artifact, backend: str = "wasm") -> None:
        try:
            model = json.loads(artifact.main.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise ModelError(f"{artifact.main} cannot be read: {error}", "Build the bundle again.") from error
        self.signature = read_signature(model)
        _check_shards(model, artifact)
        self._backend, self._model, self._folder = backend, model, artifact.folder
        self.runtime, self.threads = f"TensorFlow.js on Node, {backend}", 1  # its threads are for pages
        # a file, not a pipe: nobody would drain it while a long answer is read; _end() closes it
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [*Node().command(), str(SCRIPT), str(runtime_files() / "runtime"), backend],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        self._end = weakref.finalize(self, _end, self._process, self._stderr)
        try:
            self._receive("start")
            self.memory = PeakMemory(self._process.pid)
            self._send({"op": "open", "model": str(artifact.main)})
            self.load_seconds = float(self._receive("load the model")[0]["seconds"])
        except ModelError:
            self.close()
            raise

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        """Outputs by name. Raises ModelError that names the op which cannot run."""
        return self._ask("run", inputs)

    def layers(self, inputs: Arrays) -> dict[str, Array]:
        """The float output of every op, by its name in the graph, in the graph's order."""
        return self._ask("layers", inputs)

    def stored(self, inputs: Arrays, weighed: Collection[str] = ()) -> Mapping[str, Stored]:
        """See stored.stored; the files tell, whatever the inputs."""
        return stored(self._model, self._folder, weighed)

    def time(self, inputs: Arrays, calls: int) -> list[float]:
        """Seconds of each call, by Node's clock. Raises ModelError."""
        described, body = self._packed(inputs)
        self._send({"op": "time", "arrays": described, "bytes": len(body), "calls": calls}, body)
        return list(self._receive("run the model")[0]["seconds"])

    def backends(self, inputs: Arrays) -> dict[str, str]:
        """For each of a page's backends the kernels that it lacks for this model, in words; empty where it has all."""
        described, body = self._packed(inputs)
        self._send({"op": "kernels", "arrays": described, "bytes": len(body), "among": PAGE_BACKENDS}, body)
        lacking: Mapping[str, list[str]] = self._receive("list its kernels")[0]["lacking"]
        return {
            name: f"TensorFlow.js has no {', '.join(lacking[name])} for {name}" if lacking[name] else ""
            for name in PAGE_BACKENDS
        }

    @property
    def tensors(self) -> int:
        """How many tensors TensorFlow.js holds now: the weights, unless some leak."""
        self._send({"op": "memory"})
        return int(self._receive("count tensors")[0]["tensors"])

    def close(self) -> None:
        """End the Node process; happens by itself when this object goes."""
        self._end()

    def _ask(self, op: str, inputs: Arrays) -> dict[str, Array]:
        described, body = self._packed(inputs)
        self._send({"op": op, "arrays": described, "bytes": len(body)}, body)
        return self._receive("run the model")[1]

    def _packed(self, inputs: Arrays) -> tuple[list[dict[str, Any]], bytes]:
        """The inputs as a message has them: what they are, and their bytes."""
        arrays = {spec.name: _as_fed(inputs, spec) for spec in self.signature.inputs}
        described = [
            {"name": name, "shape": list(array.shape), "dtype": array.dtype.name}
            for name, array in arrays.items()
        ]
        return described, b"".join(array.tobytes() for array in arrays.values())

    def _send(self, header: Mapping[str, object], body: bytes = b"") -> None:
        text = json.dumps(header).encode()
        try:
            stdin = _pipe(self._process.stdin)
            stdin.write(struct.pack("<I", len(text)) + text + body)
            stdin.flush()
        except (OSError, ValueError) as error:  # ValueError: it was closed
            raise self._died() from error

    def _receive(self, doing: str) -> tuple[dict[str, Any], dict[str, Array]]:
        (length,) = struct.unpack("<I", self._read(4))
        header: dict[str, Any] = json.loads(self._read(length))
        if "error" in header:
            raise ModelError(f"TensorFlow.js ({self._backend}) cannot {doing}: {header['error']}", HINT)
        arrays = {}
        for entry in header["arrays"]:
            dtype = np.dtype(entry["dtype"])
            count = int(np.prod(entry["shape"], dtype=np.int64))
            data = self._read(count * dtype.itemsize)
            arrays[entry["name"]] = np.frombuffer(data, dtype).reshape(entry["shape"])
        return header, arrays

    def _read(self, count: int) -> bytes:
        data = _pipe(self._process.stdout).read(count)
        if len(data) != count:
            raise self._died()
        return data

    def _died(self) -> ModelError:
        self._stderr.seek(0)
        words = self._stderr.read().decode(errors="replace").strip()
        return ModelError(
            f"Node ended while it ran the model (exit code {self._process.wait()}).",
            "The model may need more memory than there is.",
            words[-2000:],
        )


def _as_fed(inputs: Arrays, spec: TensorSpec) -> Array:
    """As TensorFlow.js takes it. Raises ModelError for an integer that does not fit."""
    array = np.ascontiguousarray(inputs[spec.name])
    if spec.dtype == "int32" and array.size and not -(2**31) <= int(array.min()) <= int(array.max()) < 2**31:
        raise ModelError(
            f"The input '{spec.name}' holds an integer beyond 32 bits.",
            "TensorFlow.js has no larger integers.",
        )
    return array.astype(spec.dtype, copy=False)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # Popen was asked for it
    return pipe


def _end(process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in filter(None, (process.stdin, process.stdout, stderr)):
        with contextlib.suppress(OSError):  # what was still buffered has no reader any more
            pipe.close()
