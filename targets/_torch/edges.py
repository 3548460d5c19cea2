"""The first steps of an input: multiplications and additions with constants, and movements between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from edgepack.spec import Affine, Array

AFFINE = {"mul", "add", "sub", "rsub", "div"}
MOVING = {
    "permute", "transpose", "t", "view", "_unsafe_view", "reshape", "squeeze", "unsqueeze", "flip", "clone", "alias",
    "detach", "_to_copy", "lift_fresh",
}  # fmt: skip
ACTIVATIONS = {"_softmax": "softmax", "sigmoid": "sigmoid"}


def name_of(func: Any) -> str:
    """The op's name, the same for the one that writes in place."""
    name = str(getattr(getattr(func, "overloadpacket", func), "__name__", ""))
    return name if name.startswith("__") else name.rstrip("_")


@dataclass
class Edge:
    """How far an input has come, told by three probes that took the same steps.

    Attributes:
        zeros, ones: what has become of an input of all 0, of all 1.
        index: where each value was in the input.
        readers: the ops that read it: the edge behind each, ``None`` where the way ends.
    """

    zeros: torch.Tensor
    ones: torch.Tensor
    index: torch.Tensor
    readers: list[Edge | None] = field(default_factory=list)

    @classmethod
    def start(cls, tensor: torch.Tensor) -> Edge:
        index = torch.arange(tensor.numel()).reshape(tensor.shape)
        return cls(torch.zeros_like(tensor), torch.ones_like(tensor), index)

    def through(self, func: Any, args: Any, kwargs: Any, own: torch.Tensor) -> Edge | None:
        """The edge behind an op that reads ``own`` and else only constants; ``None`` where it is no such step."""
        name = name_of(func)
        divides = name == "div" and own is not args[0]
        if name not in AFFINE | MOVING or divides or kwargs.get("rounding_mode"):
            return None

        def replay(value: torch.Tensor) -> Any:
            swapped = pytree.tree_map(lambda each: value.clone() if each is own else each, (args, kwargs))
            return func(*swapped[0], **swapped[1])

        zeros, ones = replay(self.zeros), replay(self.ones)
        moves = name in MOVING and name != "_to_copy"
        same_size = isinstance(zeros, torch.Tensor) and zeros.numel() == self.index.numel()
        if not same_size or not zeros.dtype.is_floating_point or not (moves or zeros.shape == own.shape):
            return None
        return Edge(zeros, ones, replay(self.index) if moves else self.index)

    def affine(self) -> Affine | None:
        """The multiplication and addition that the input's values first go through, where there is one."""
        end = self
        while len(end.readers) == 1 and end.readers[0] is not None:
            end = end.readers[0]
        scale = self._in_place(end.ones.double() - end.zeros.double(), end.index)
        offset = self._in_place(end.zeros.double(), end.index)
        for axis in (-1, 1) if scale.ndim == 4 else (-1,):
            values = [_per_channel(each, axis) for each in (scale, offset)]
            if values[0] is not None and values[1] is not None:
                affine = Affine(values[0], values[1])
                return None if affine.is_identity else affine
        return None  # differs from place to place: no plain normalisation

    def _in_place(self, values: torch.Tensor, index: torch.Tensor) -> Array:
        """The values where the input has them."""
        put = torch.empty(self.index.numel(), dtype=values.dtype)
        put[index.flatten()] = values.flatten()
        return np.asarray(put.reshape(self.index.shape).numpy())


def _per_channel(values: Array, axis: int) -> tuple[float, ...] | None:
    flat = np.moveaxis(values, axis, -1) if values.ndim else values
    flat = flat.reshape(-1, flat.shape[-1] if flat.ndim else 1)
    if np.ptp(flat, axis=0).max(initial=0) > 1e-6 * max(1.0, float(np.abs(flat).max(initial=0))):
        return None
    first = flat[0]
    return (float(first[0]),) if np.ptp(first) < 1e-12 else tuple(map(float, first))
