"""Follows every channel of a PyTorch module through the operations of one run (see edgepack.compress.coupling).

Every tensor has a companion of its shape with the number of a channel at each place. What moves values moves companions;
what computes element by element says that its operands' channels are the same; and what is not known here, or mixes
channels, closes those that it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from edgepack.compress.coupling import Axis, Coupling

Companion = Any
"""A tensor of channels, or the tuple or list of them that an operation with several results gives."""

MOVES = frozenset(
    ["_unsafe_view", "alias", "cat", "channel_shuffle", "clone", "detach", "expand", "flip", "permute"]
    + ["pixel_shuffle", "pixel_unshuffle", "repeat", "reshape", "roll", "select", "slice", "split"]
    + ["split_with_sizes", "squeeze", "stack", "t", "transpose", "unbind", "unfold", "unsqueeze", "view"]
)
POINTWISE = frozenset(["_to_copy", "_prelu_kernel", "hardswish"])
"""Those that PyTorch does not tag as such."""

ALONG = frozenset(["_softmax", "_log_softmax", "cumsum"])
REDUCTIONS = frozenset(["mean", "sum", "amax", "amin", "var", "prod"])
SPATIAL = tuple(
    f"{kind}{places}d"
    for kind in ("max_pool", "avg_pool", "adaptive_avg_pool", "_adaptive_avg_pool", "adaptive_max_pool")
    + ("upsample_nearest", "upsample_linear", "upsample_bilinear", "upsample_bicubic", "upsample_trilinear")
    + ("reflection_pad", "replication_pad")
    for places in (1, 2, 3)
)
"""Each result is made of values of one channel; over so many last axes."""


class Follow(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is on, a module must be run once.

    Attributes:
        coupling: what is found.
        read: the axes that layers read channels by.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.coupling = Coupling()
        self.read: set[Axis] = set()
        self._companions: dict[int, torch.Tensor] = {}
        self._matrices: dict[int, tuple[str, tuple[int, ...]]] = {}
        self._alive: list[Any] = []  # an id is a tensor's for as long as it lives
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            self._alive.append(tensor)
            long = [axis for axis, size in enumerate(tensor.shape) if size > 1]
            if tensor.ndim > 1:
                self._matrices[id(tensor)] = name, tuple(range(tensor.ndim))
            if tensor.ndim and len(long) <= 1:
                axis = long[0] if long else tensor.ndim - 1
                channels = self._along(name, axis, tensor.shape[axis])
                self._companions[id(tensor)] = channels.reshape(tensor.shape)

    def finish(self, outputs: Iterable[torch.Tensor]) -> None:
        """Say what the module gave: the channels of that stay."""
        for each in outputs:
            self._close(each)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = dict(zip((each.name for each in func._schema.arguments), args, strict=False)) | kwargs
        name = func.overloadpacket.__name__
        name = name[:-1] if name.endswith("_") else name
        found = self._rule(name, func)(given, func, result)
        if found is None:
            for each in tree_leaves((args, kwargs)):
                if isinstance(each, torch.Tensor):
                    self._close(each)
            return result
        companions = list(found) if isinstance(found, list | tuple) else [found]
        for tensor, companion in zip(tree_leaves(result), companions, strict=False):
            self._alive.append(tensor)
            self._companions[id(tensor)] = companion
        return result

    def _rule(self, name: str, func: Any) -> Callable[[dict[str, Any], Any, Any], Companion | None]:
        if name in MOVES:
            return self._moved
        if torch.Tag.pointwise in func.tags or name in POINTWISE:
            return self._pointwise
        if name in ALONG:
            return self._computed_along
        if name in REDUCTIONS:
            return self._reduced
        if name.removesuffix("_with_indices") in SPATIAL:
            return self._spatial
        rules = {
            "convolution": self._convolved,
            "addmm": self._multiplied,
            "mm": self._multiplied,
            "native_batch_norm": self._normalised,
            "constant_pad_nd": self._padded,
        }
        return rules.get(name, lambda given, func, result: None)

    def _of(self, tensor: torch.Tensor) -> torch.Tensor:
        found = self._companions.get(id(tensor))
        return torch.zeros((), dtype=torch.int64).expand(tensor.shape) if found is None else found

    def _close(self, tensor: torch.Tensor) -> None:
        self.coupling.close(self._of(tensor).numpy())
        if id(tensor) in self._matrices:
            self.coupling.close_owner(self._matrices[id(tensor)][0])

    def _along(self, owner: str, axis: int, size: int) -> torch.Tensor:
        return torch.from_numpy(self.coupling.along(owner, axis, size))

    def _join(self, some: torch.Tensor, others: torch.Tensor) -> None:
        self.coupling.join(some.numpy(), others.numpy())

    def _read(self, owner: str, axis: int, channels: torch.Tensor) -> None:
        self.read.add(Axis(owner, axis))
        self._join(self._along(owner, axis, len(channels)), channels)

    def _moved(self, given: dict[str, Any], func: Any, result: Any) -> Companion | None:
        if self._is_matrix(given.get("self")) and not self._turned(given, func, result):
            return None
        if any(self._is_matrix(each) for each in given.get("tensors", ())):
            return None
        if func is torch.ops.aten.view.default or func is torch.ops.aten._unsafe_view.default:
            return self._of(given["self"]).reshape(given["size"])  # a companion's strides are its own
        if func is torch.ops.aten.view.dtype:
            return None
        moved = tree_map(lambda each: self._of(each) if isinstance(each, torch.Tensor) else each, given)
        return func(**moved)

    def _turned(self, given: dict[str, Any], func: Any, result: Any) -> bool:
        """Whether it is a matrix still, its axes in another order."""
        if func.overloadpacket.__name__ not in ("t", "transpose", "permute", "detach", "alias"):
            return id(given["self"]) in self._companions
        owner, axes = self._matrices[id(given["self"])]
        order = func(**given | {"self": torch.empty(tuple(range(2, 2 + len(axes))))}).shape
        self._matrices[id(result)] = owner, tuple(axes[size - 2] for size in order)
        return True

    def _pointwise(self, given: dict[str, Any], func: Any, result: Any) -> Companion | None:
        operands = [each for each in tree_leaves(given) if isinstance(each, torch.Tensor)]
        if not isinstance(result, torch.Tensor) or any(
            self._is_matrix(each) and id(each) not in self._companions for each in operands
        ):
            return None
        total = self._of(operands[0])
        for each in operands[1:]:
            total = torch.from_numpy(self.coupling.met(total.numpy(), self._of(each).numpy()).copy())
        return total.expand(result.shape)

    def _is_matrix(self, tensor: Any) -> bool:
        return id(tensor) in self._matrices

    def _computed_along(self, given: dict[str, Any], func: Any, result: Any) -> Companion | None:
        own = self._of(given["self"])
        return own if _is_constant(own, given["dim"]) else None

    def _reduced(self, given: dict[str, Any], func: Any, result: Any) -> Companion | None:
        own, axes = self._of(given["self"]), given.get("dim")
        axes = list(range(own.ndim)) if axes is None else [axes] if isinstance(axes, int) else list(axes)
        if not isinstance(result, torch.Tensor) or not all(_is_constant(own, axis) for axis in axes):
            return None
        return own.amax(axes, keepdim=True).reshape(result.shape)

    def _spatial(self, given: dict[str, Any], func: Any, result: Any) -> Companion | None:
        own = self._of(given["self"])
        count = int(func.overloadpacket.__name__.removesuffix("_with_indices")[-2])
        if not all(_is_constant(own, axis) for axis in range(-count, 0)):
            return None
        for axis in range(-count, 0):
            own = own.narrow(axis, 0, 1)
        return own.expand(tree_leaves(result)[0].shape)

    def _padded(self, given: dict[str, Any], func: Any, result: Any) -> Companion:
        """Around a constant axis lies more of the same channel; new channels are NOTHING."""
        own, pads = self._of(given["self"]), given["pad"]
        for index in range(len(pads) // 2):
            axis, (before, after) = own.ndim - 1 - index, pads[2 * index : 2 * index + 2]
            if _is_constant(own, axis):
                shape = list(own.shape)
                shape[axis] += before + after
                own = own.narrow(axis, 0, 1).expand(shape)
            else:
                own = torch.constant_pad_nd(own, [0, 0] * index + [before, after])
        return own

    def _normalised(self, given: dict[str, Any], func: Any, result: Any) -> Companion | None:
        own = self._of(given["input"])
        channels = _channels(own)
        if channels is None:
            return None
        for name in ("weight", "bias", "running_mean", "running_var"):
            if given[name] is not None:
                self._join(self._of(given[name]), channels)
        return own

    def _convolved(self, given: dict[str, Any], func: Any, result: Any) -> Companion | None:
        weight, groups = given["weight"], given["groups"]
        channels = _channels(self._of(given["input"]))
        if id(weight) not in self._matrices or channels is None:
            return None
        owner, axes = self._matrices[id(weight)]
        if axes != tuple(range(weight.ndim)):
            return None
        reads, makes = (0, 1) if given["transposed"] else (1, 0)
        made = self._along(owner, makes, weight.shape[makes])
        if groups == 1:
            self._read(owner, reads, channels)
        elif groups == len(channels) and not given["transposed"]:
            self._join(made, channels.repeat_interleave(len(made) // groups))
        else:
            return None
        self._add_bias(given["bias"], made)
        return made.reshape(-1, *[1] * (result.ndim - 2)).expand(result.shape)

    def _multiplied(self, given: dict[str, Any], func: Any, result: Any) -> Companion | None:
        fed, weight = given.get("mat1", given["self"]), given["mat2"]
        channels = _channels(self._of(fed))
        if id(weight) not in self._matrices or channels is None:
            return None
        owner, (reads, makes) = self._matrices[id(weight)]
        self._read(owner, reads, channels)
        made = self._along(owner, makes, weight.shape[1])
        self._add_bias(given["self"] if "mat1" in given else None, made)
        return made.expand(result.shape)

    def _add_bias(self, bias: torch.Tensor | None, made: torch.Tensor) -> None:
        if bias is not None:
            self._join(self._of(bias).expand(made.shape), made)


def _is_constant(companion: torch.Tensor, axis: int) -> bool:
    return companion.shape[axis] == 1 or bool((companion == companion.narrow(axis, 0, 1)).all())


def _channels(companion: torch.Tensor) -> torch.Tensor | None:
    """Along the second axis, where they are the same along all others."""
    first = companion
    for axis in range(companion.ndim):
        first = first if axis == 1 else first.narrow(axis, 0, 1)
    return first.flatten() if bool((companion == first).all()) else None
