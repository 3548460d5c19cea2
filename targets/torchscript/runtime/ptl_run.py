"""A driver (see edgepack/devices/wire.py): a .ptl in PyTorch's lite interpreter, with the integer kernels of phones.

    python ptl_run.py MODEL.ptl

It needs no numpy: PyTorch reads and gives bytes.
"""

from __future__ import annotations

import ctypes
import json
import warnings
import zipfile

from edgepack_wire import Loaded, Refusal, Tensor, serve

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that there is no numpy
    import torch
    from torch.jit.mobile import _load_for_lite_interpreter

ENGINE = "qnnpack"
NOTES = "extra/edgepack.json"
RUNTIME = f"PyTorch {torch.__version__.partition('+')[0]}"


def load(path: str) -> Loaded:
    if ENGINE not in torch.backends.quantized.supported_engines:
        raise Refusal(f"{RUNTIME} has no {ENGINE}, the integer kernels of phones, on this machine.")
    torch.backends.quantized.engine = ENGINE
    inputs, outputs = _boundary(path)
    try:
        module = _load_for_lite_interpreter(path)  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise _refusal("load", error) from error

    def run(given: list[bytes]) -> list[bytes]:
        tensors = [
            torch.frombuffer(bytearray(data), dtype=getattr(torch, each.dtype)).reshape(each.shape)
            for data, each in zip(given, inputs, strict=True)
        ]
        try:
            with torch.inference_mode():
                made = module(*tensors)
        except RuntimeError as error:
            raise _refusal("run", error) from error
        made = made if isinstance(made, (tuple, list)) else (made,)
        return [_bytes(value, each) for value, each in zip(made, outputs, strict=True)]

    return Loaded(inputs, outputs, run, {"runtime": RUNTIME})


def _boundary(path: str) -> tuple[list[Tensor], list[Tensor]]:
    """What edgepack noted in the file: the runtime itself knows neither names nor shapes."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(each for each in archive.namelist() if each.partition("/")[2] == NOTES)
            notes = json.loads(archive.read(name))
        inputs, outputs = (
            [
                Tensor(str(each["name"]), str(each["dtype"]), tuple(map(int, each["shape"])))
                for each in notes[key]
            ]
            for key in ("inputs", "outputs")
        )
    except (OSError, zipfile.BadZipFile, StopIteration, ValueError, KeyError, TypeError) as error:
        raise Refusal(
            f"The .ptl does not say what its inputs are: {type(error).__name__}: {error}.",
            "Build the bundle again with edgepack.",
        ) from error
    return inputs, outputs


def _bytes(value: torch.Tensor, expected: Tensor) -> bytes:
    real = (value.dequantize() if value.is_quantized else value).contiguous()
    found = Tensor(expected.name, str(real.dtype).partition(".")[2], tuple(real.shape))
    if found != expected:
        raise Refusal(f"The output is {found}, not {expected}.", "Build the bundle again.")
    return ctypes.string_at(real.data_ptr(), expected.bytes) if expected.bytes else b""


def _refusal(doing: str, error: RuntimeError) -> Refusal:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
    return Refusal(f"{RUNTIME} cannot {doing} the artifact: {first[:300]}")


if __name__ == "__main__":
    serve(load)
