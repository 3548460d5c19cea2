"""The weights of a TF.js model: how they are stored, quantized, cut into shards, and what the runtime makes of them.

The format: https://github.com/tensorflow/tfjs/blob/master/tfjs-core/src/io/types.ts (WeightsManifestEntry). Every
group's weights lie one behind the other, little-endian, cut into files of 4 MiB.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.spec import Array, Precision

SHARD_BYTES = 4 * 1024 * 1024

INTEGERS = {Precision.INT8: "uint8", Precision.INT16: "uint16"}
"""The type in which a precision stores a weight; TF.js's integers are unsigned."""

CODES = 127
"""Steps to either side of zero in which edgepack.compress.cluster counts its codes."""

HALF_MAX = float(np.finfo(np.float16).max)
LEAST_VALUES = 256


@dataclass(frozen=True)
class Stored:
    """A weight as it lies in a shard.

    Attributes:
        dtype: what it is in the runtime.
        values: float32, int32, bool, complex64; or the uint8, uint16 or float16 it is stored in.
        scale: ``real = values * scale + least`` for stored integers; None for others.
    """

    name: str
    dtype: str
    values: Array
    scale: float | None = None
    least: float | None = None

    @property
    def entry(self) -> dict[str, Any]:
        """Its entry in the ``weightsManifest``."""
        entry: dict[str, Any] = {
            "dtype": self.dtype,
            "name": self.name,
            "shape": list(self.values.shape),
        }
        if self.values.dtype.name != self.dtype:
            entry["quantization"] = {"dtype": self.values.dtype.name, "original_dtype": self.dtype}
        if self.scale is not None:
            entry["quantization"] |= {"min": self.least, "scale": self.scale}
        return entry

    @property
    def bytes(self) -> bytes:
        return self.values.astype(self.values.dtype.newbyteorder("<")).tobytes()


def is_quantizable(value: Array) -> bool:
    """Whether storing it smaller pays: a float matrix (or more axes) that is not tiny; biases are left alone."""
    return value.dtype == np.float32 and value.size >= LEAST_VALUES and sum(n > 1 for n in value.shape) >= 2


def limits(value: Array) -> dict[Precision, str]:
    """The precisions that a quantizable weight cannot be stored in, each with the reason."""
    if not np.isfinite(value).all():
        return dict.fromkeys(
            (Precision.INT8, Precision.INT16, Precision.FLOAT16), "its weights are not all finite"
        )
    if float(np.abs(value).max()) > HALF_MAX:
        return {Precision.FLOAT16: f"its weights go beyond {HALF_MAX:.0f}, the most of a 16-bit float"}
    return {}


def store(name: str, value: Array, precision: Precision) -> Stored:
    """A weight in a precision; one that cannot take it (or would gain nothing) as it is."""
    dtype = value.dtype.name
    if not is_quantizable(value) or precision in limits(value):
        return Stored(name, dtype, value)
    if precision == Precision.FLOAT16:
        return Stored(name, dtype, value.astype(np.float16))
    if precision in INTEGERS:
        return _affine(name, value, np.dtype(INTEGERS[precision]))
    return Stored(name, dtype, value)


def _affine(name: str, value: Array, dtype: np.dtype[Any]) -> Stored:
    """Least to greatest value over the type's steps, moved so that zero, which padding needs, is one of them.

    Codes of a codebook keep their own steps.
    """
    least, greatest = float(value.min()), float(value.max())
    if least == greatest:
        return Stored(name, value.dtype.name, np.zeros(value.shape, dtype), 1.0, least)
    steps = int(np.iinfo(dtype).max)
    scale = (greatest - least) / steps
    if coded(value):
        scale = float(np.abs(value).max()) / CODES
        least = -CODES * scale
    elif least <= 0 <= greatest:
        least = -round(-least / scale) * scale
    values = np.clip(np.rint((value.astype(np.float64) - least) / scale), 0, steps).astype(dtype)
    return Stored(name, value.dtype.name, values, scale, least)


def coded(value: Array) -> bool:
    """Whether all values are whole steps of 1/127 of the largest, which 8 bits then hold without error."""
    steps = value.astype(np.float64) / (float(np.abs(value).max()) or 1.0) * CODES
    return bool(np.abs(steps - np.rint(steps)).max() < 1e-3)


def dequantize(stored: Stored) -> Array:
    """What TF.js computes with, to the bit: it multiplies and adds in double, then rounds to float32."""
    if stored.scale is None or stored.least is None:
        return stored.values.astype(stored.dtype)
    real = stored.values.astype(np.float64) * stored.scale + stored.least
    return (np.floor(real + 0.5) if stored.dtype == "int32" else real).astype(stored.dtype)


def fidelity(value: Array, precision: Precision) -> float:
    """The SQNR in dB of a weight that was stored in a precision; infinite where nothing is lost."""
    restored = dequantize(store("", value, precision))
    if np.array_equal(value, restored, equal_nan=True):
        return math.inf
    noise = float(np.sum((value - restored.astype(np.float64)) ** 2))
    signal = float(np.sum(np.square(value, dtype=np.float64)))
    return 10 * math.log10(signal / noise) if signal else -math.inf


def write(weights: Iterable[Stored], folder: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Write the shards into a folder.

    Returns:
        The ``weightsManifest``, and the names of the files.
    """
    weights = list(weights)
    total = sum(weight.values.nbytes for weight in weights)
    count = -(-total // SHARD_BYTES)
    names = tuple(f"group1-shard{number}of{count}.bin" for number in range(1, count + 1))
    for name, chunk in zip(names, _chunks(weights), strict=True):
        (folder / name).write_bytes(chunk)
    return [{"paths": list(names), "weights": [weight.entry for weight in weights]}], names


def _chunks(weights: Iterable[Stored]) -> Iterator[bytes]:
    rest = bytearray()
    for weight in weights:
        rest += weight.bytes
        while len(rest) >= SHARD_BYTES:
            yield bytes(rest[:SHARD_BYTES])
            del rest[:SHARD_BYTES]
    if rest:
        yield bytes(rest)


def read(manifest: Iterable[Mapping[str, Any]], folder: Path) -> dict[str, Stored]:
    """The weights of a model that edgepack wrote, by name; for what others wrote, see audit."""
    found = {}
    for group in manifest:
        data, position = b"".join((folder / path).read_bytes() for path in group["paths"]), 0
        for entry in group["weights"]:
            quantization = entry.get("quantization", {})
            dtype = np.dtype(quantization.get("dtype", entry["dtype"])).newbyteorder("<")
            size = int(np.prod(entry["shape"], dtype=np.int64))
            values = np.frombuffer(data, dtype, size, position).reshape(entry["shape"])
            position += values.nbytes
            found[entry["name"]] = Stored(
                entry["name"],
                entry["dtype"],
                values.astype(dtype.newbyteorder("=")),
                quantization.get("scale"),
                quantization.get("min"),
            )
    return found
