"""Small frozen values that describe tensors; the vocabulary every stage shares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal

from .errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]
    Arrays = Mapping[str, Array]
else:
    Array = Arrays = Any


class Precision(StrEnum):
    """The arithmetic of an op: int8 static, int8 weights with float activations, int16 activations, ...

    ``int16`` is one of storage alone: weights of 16 bit, computed in float.
    """

    INT8 = "int8"
    INT8_DYNAMIC = "int8_dynamic"
    INT16X8 = "int16x8"
    INT16 = "int16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"

    @property
    def bits(self) -> int:
        """Of a stored weight."""
        return {"float32": 32, "float16": 16, "int16": 16}.get(self.value, 8)


AUTO: Final = "auto"
"""In place of a precision: the best plan that meets the gate, found by trying."""

Asked = Precision | Literal["auto"]


@dataclass(frozen=True)
class Quantization:
    """Affine per-tensor quantization: ``real = scale * (stored - zero_point)``."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class TensorSpec:
    """A named tensor at the boundary of a model.

    Attributes:
        shape: dimensions; ``None`` where unknown.
        dtype: numpy's name of the element type.
        quantization: set where the stored integers stand for real numbers.
        range: the least and greatest real value it can hold, where that is known beforehand (pixels: 0, 255).
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    quantization: Quantization | None = None
    range: tuple[float, float] | None = None

    @property
    def static_shape(self) -> tuple[int, ...]:
        """The shape, all of it known. Raises UsageError otherwise."""
        if any(size is None for size in self.shape):
            raise UsageError(
                f"The shape of '{self.name}' is not fully known: {format_shape(self.shape)}.",
                f"Give it: --shape {self.name}={format_shape(self.shape)} with every ? replaced.",
            )
        return tuple(size for size in self.shape if size is not None)

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{format_shape(self.shape)}]"


@dataclass(frozen=True)
class Signature:
    """Named, typed, shaped inputs and outputs of a model."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def input(self, name: str) -> TensorSpec:
        """The input of that name. Raises KeyError."""
        return {spec.name: spec for spec in self.inputs}[name]


@dataclass(frozen=True)
class Affine:
    """``x * scale + offset``, one value for all channels or one a channel (last axis)."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]

    def close_to(self, other: Affine) -> bool:
        """Whether both compute the same, to float32 rounding."""

        def same(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
            size = max(len(a), len(b))
            a, b = a * size if len(a) == 1 else a, b * size if len(b) == 1 else b
            return len(a) == len(b) and all(
                abs(x - y) <= 1e-6 + 1e-4 * abs(y) for x, y in zip(a, b, strict=True)
            )

        return same(self.scale, other.scale) and same(self.offset, other.offset)

    @property
    def is_identity(self) -> bool:
        return self.close_to(Affine((1.0,), (0.0,)))

    def __str__(self) -> str:
        """In words: ``x * 0.5 - 1``."""

        def show(values: tuple[float, ...]) -> str:
            each = [f"{value:g}" for value in values]
            return each[0] if len(set(values)) == 1 else f"({', '.join(each)})"

        offset = f" + {show(self.offset)}" if any(self.offset) else ""
        return f"x * {show(self.scale)}{offset.replace('+ -', '- ')}"


def format_shape(shape: tuple[int | None, ...]) -> str:
    """``(1, None, 3)`` as ``1x?x3``, the form that ``--shape`` takes."""
    return "x".join("?" if size is None else str(size) for size in shape)


def class_axis(shape: tuple[int, ...]) -> int:
    """The axis of the classes in an output: the last; in (N, C, H, W), the second.

    Nothing tells the two apart but their sizes: of a map, classes are fewer than rows and columns. So a map of 2 rows with
    more classes, (1, 2, 40, 10), is taken wrongly, and one of more classes than rows, (1, 21, 16, 16), as if they came last.
    """
    return 1 if len(shape) == 4 and 1 < shape[1] < min(shape[2:]) else len(shape) - 1


def parse_shape(text: str) -> tuple[str, tuple[int, ...], str | None]:
    """``image=1x224x224x3`` or ``ids=1x128:int32`` as (name, shape, dtype or None). Raises UsageError."""
    match = re.fullmatch(r"(?P<name>[^=]+)=(?P<shape>\d+(x\d+)*)(:(?P<dtype>[a-z0-9]+))?", text)
    shape = tuple(int(size) for size in match["shape"].split("x")) if match else ()
    if match is None or 0 in shape:
        raise UsageError(
            f"--shape {text} is not understood.", "Write it as image=1x224x224x3 or ids=1x128:int32."
        )
    return match["name"], shape, match["dtype"]
