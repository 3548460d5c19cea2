"""What a module returns, in whatever structure, as named tensors and the way to each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from edgepack.errors import ModelError
from edgepack.naming import output_names

NARROW = {
    torch.int64: torch.int32,
    torch.int16: torch.int32,
    torch.float64: torch.float32,
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
}
"""What a mobile runtime returns instead of the types that only training and servers like."""


@dataclass(frozen=True)
class Step:
    """One step into a structure: an item, or an attribute of a dataclass."""

    key: Any
    is_attribute: bool = False

    def __call__(self, value: Any) -> Any:
        return getattr(value, self.key) if self.is_attribute else value[self.key]


@dataclass(frozen=True)
class Output:
    """One tensor of what a module returns.

    Attributes:
        steps: from the returned structure to the tensor.
    """

    name: str
    steps: tuple[Step, ...]
    tensor: torch.Tensor

    @property
    def dtype(self) -> torch.dtype:
        """As the app gets it."""
        return NARROW.get(self.tensor.dtype, self.tensor.dtype)

    def of(self, result: Any) -> Any:
        for step in self.steps:
            result = step(result)
        return result


def outputs_of(result: Any) -> tuple[Output, ...]:
    """The tensors in it, named by key or field, else output_0, output_1, ... Raises ModelError for what is no tensor."""
    leaves = _flatten(result, "", ())
    if not leaves:
        raise ModelError(
            "The model returns nothing.", "Return a tensor, or a tuple, list or dict of tensors."
        )
    names = output_names([path for path, _, _ in leaves])
    for name, (_, _, value) in zip(names, leaves, strict=True):
        _check(name, value)
    return tuple(Output(name, steps, value) for name, (_, steps, value) in zip(names, leaves, strict=True))


def _check(name: str, value: Any) -> None:
    if not isinstance(value, torch.Tensor):
        what = "None" if value is None else f"a {type(value).__name__}"
        raise ModelError(
            f"The output '{name}' is {what}, not a tensor.",
            "Return tensors only: wrap the module in one whose forward returns what the app needs.",
        )
    if value.layout != torch.strided:
        raise ModelError(f"The output '{name}' is a sparse tensor.", "Return a dense one: .to_dense().")
    if value.is_quantized:
        raise ModelError(f"The output '{name}' is quantized.", "Give the float model; edgepack quantizes it.")
    if value.dtype.is_complex:
        raise ModelError(
            f"The output '{name}' is {dtype_name(value.dtype)}.",
            "Return torch.abs, or the real and imaginary parts.",
        )


def _flatten(value: Any, path: str, steps: tuple[Step, ...]) -> list[tuple[str, tuple[Step, ...], Any]]:
    if isinstance(value, Mapping):
        items = [(str(key), Step(key), each) for key, each in value.items()]
    elif isinstance(value, list | tuple):
        fields = getattr(value, "_fields", range(len(value)))
        items = [
            (str(field), Step(index), each)
            for index, (field, each) in enumerate(zip(fields, value, strict=True))
        ]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        items = [(name, Step(name, is_attribute=True), getattr(value, name)) for name in names]
    else:
        return [(path, steps, value)]
    return [
        leaf
        for key, step, each in items
        for leaf in _flatten(each, f"{path}.{key}" if path else key, (*steps, step))
    ]


def dtype_name(dtype: torch.dtype) -> str:
    """NumPy's name of an element type."""
    return str(dtype).removeprefix("torch.")
