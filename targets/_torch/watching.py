"""Weights followed to where they multiply, by watching the dispatcher: below modules, functions and TorchScript.

A linear layer, an attention's projection and a step of an LSTM are all an ``addmm`` there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from edgepack.compress.lockstep import Stop
from edgepack.compress.student import Kind

TURNING = {"t", "transpose", "permute"}

MOVING = TURNING | {
    "alias", "detach", "view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "expand",
    "split", "split_with_sizes", "slice", "select", "unbind", "clone", "_to_copy",
}  # fmt: skip
"""Ops that give a weight again, turned or in part."""

LINEAR = {"mm": (0, 1, None), "bmm": (0, 1, None), "addmm": (1, 2, 0)}
"""Where inputs, weights [in, out] and bias are among the arguments."""

CONVOLUTION = {"convolution", "_convolution"}

TABLES = {"embedding", "index", "index_select", "gather"}

OTHERS = {"mv", "addmv", "baddbmm"}
"""What multiplies weights in another way: then there are weights, and no inputs."""

FUSED = "mkldnn_rnn_layer"

USING = {*LINEAR, *CONVOLUTION, *TABLES, *OTHERS}


@contextmanager
def step_by_step() -> Iterator[None]:
    """Meanwhile an LSTM computes by the dispatcher's ops, and not as one of oneDNN's (``FUSED``), which shows nothing."""
    was = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(was)


@dataclass(frozen=True)
class _View:
    """A weight on its way: whether it is turned over by now; ``None`` where it is in parts, or in another order."""

    name: str
    rank: int
    is_turned: bool | None = False


@dataclass(frozen=True)
class Use:
    """A weight in an op.

    Attributes:
        kind: ``weights`` where the op is none whose inputs can be told.
        is_turned: the weight as it is stored, beside [out, in].
        bias: its name, where it is a parameter.
        fed: with what, as ``unfolded`` takes it.
        places: of the output, each of which takes a multiplication by every weight.
        is_table: values are looked up, which runtimes store with one scale for all.
    """

    name: str
    kind: Kind
    is_turned: bool
    bias: str | None = None
    fed: tuple[Any, ...] = ()
    places: int = 1
    is_table: bool = False

    @property
    def bytes(self) -> int:
        """Of what it is fed with, before that is unfolded."""
        return int(self.fed[0].nbytes)

    def inputs(self) -> torch.Tensor:
        """[places, in], as the weight sees them."""
        return unfolded(*self.fed)


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows some weights through views of them to the ops that use them.

    Args:
        see: is told of every use, before the op computes.

    Attributes:
        is_fused: there was an op of which no use of weights can be seen.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], see: Callable[[Use], object]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = {id(each): _View(name, each.ndim) for name, each in weights.items()}
        self._kept: list[Any] = []  # an id is one for as long as its owner lives
        self._see = see
        self.is_fused = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.is_fused |= name == FUSED
        for use in self._uses(name, args) if name in USING else ():
            self._see(use)
        result = func(*args, **(kwargs or {}))
        if name in MOVING:
            self._follow(name, args, result)
        return result

    def _follow(self, name: str, args: Any, result: Any) -> None:
        view = self._known.get(id(args[0]))
        if view is None:
            return
        parts = result if isinstance(result, list | tuple) else [result]
        is_turned = view.is_turned
        if name in TURNING:
            is_turned = None if is_turned is None or args[0].ndim != 2 else is_turned != _turns(name, args)
        elif any(not _is_same(args[0], part) for part in parts):
            is_turned = None
        for part in parts:
            self._known[id(part)] = replace(view, is_turned=is_turned)
        self._kept.extend(parts)

    def _uses(self, name: str, args: Any) -> Iterator[Use]:
        tensors = {place: each for place, each in enumerate(args) if isinstance(each, torch.Tensor)}
        views = {place: self._known[id(each)] for place, each in tensors.items() if id(each) in self._known}
        at = LINEAR.get(name, (0, 1, 2) if name in CONVOLUTION else (None, None, None))
        for place, view in views.items():
            if tensors[place].ndim < 2:
                continue
            others = [each for other, each in views.items() if other not in (place, at[2])]
            if place != at[1] or others or view.is_turned is None or (name in LINEAR and view.rank != 2):
                rows = tensors[at[0]].shape[-2] if name == "bmm" and place == at[1] else 1
                is_table = name in TABLES
                yield Use(
                    view.name,
                    "weights",
                    view.is_turned or False,
                    places=0 if is_table else rows,
                    is_table=is_table,
                )
            elif name in LINEAR:
                bias = views[at[2]].name if at[2] in views else None
                fed = tensors[at[0]].flatten(0, -2)
                yield Use(view.name, "linear", not view.is_turned, bias, (fed,), len(fed))
            else:
                yield _convolution(view.name, args, views[2].name if 2 in views else None)


def _is_same(whole: torch.Tensor, part: torch.Tensor) -> bool:
    """Whether it has all values in the same places, but for dimensions before them: of 1, or where all are repeated."""
    before = zip(part.shape[:-2], part.stride()[:-2], strict=True)
    if part.shape[-2:] == whole.shape[-2:] and all(size == 1 or stride == 0 for size, stride in before):
        return True
    return part.numel() == whole.numel() and part.squeeze().shape == whole.squeeze().shape


def _turns(name: str, args: Any) -> bool:
    """Whether it exchanges the two dimensions."""
    if name == "transpose":
        return bool((args[1] - args[2]) % 2)
    return name == "t" or args[1][0] % 2 == 1


def _convolution(name: str, args: Any, bias: str | None) -> Use:
    fed, weight, transposed, groups = args[0], args[1], args[6], args[8]
    if transposed:
        return Use(name, "weights", groups == 1, places=fed.numel() // fed.shape[1])
    places = _places(fed, weight, *args[3:6])
    if weight.ndim > 4:
        return Use(name, "weights", False, places=places)
    if groups != 1:
        return Use(name, "depthwise", False, bias, (fed,), places)
    return Use(name, "conv", False, bias, (fed, weight, *args[3:6]), places)


def _places(fed: torch.Tensor, weight: torch.Tensor, *options: list[int]) -> int:
    """Of a convolution's output, over the batch."""
    steps, around, apart = (_each(option, weight) for option in options)
    sizes = zip(fed.shape[2:], weight.shape[2:], steps, around, apart, strict=True)
    spans = (
        (size + 2 * edge - gap * (kernel - 1) - 1) // step + 1 for size, kernel, step, edge, gap in sizes
    )
    return len(fed) * math.prod(spans)


def _each(option: list[int], weight: torch.Tensor) -> tuple[int, ...]:
    """A stride, padding or dilation for every dimension; one is given for all."""
    places = weight.ndim - 2
    return tuple(option) * (places // len(option))


class Look(Watch):  # type: ignore[no-untyped-call]
    """Notes all uses, by weight, in the order of their first."""

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        self.uses: dict[str, list[Use]] = {}
        super().__init__(weights, lambda use: self.uses.setdefault(use.name, []).append(replace(use, fed=())))


def kinds(
    module: torch.nn.Module, weights: Mapping[str, torch.Tensor], tensors: tuple[torch.Tensor, ...]
) -> dict[str, list[Kind]]:
    """What weights are used as, use by use."""
    look = Look(weights)
    with torch.no_grad(), look:
        module(*tensors)
    return {name: [use.kind for use in uses] for name, uses in look.uses.items()}


def input_bytes(
    module: torch.nn.Module, weights: Mapping[str, torch.Tensor], tensors: tuple[torch.Tensor, ...]
) -> dict[str, list[int]]:
    """How much weights are fed with, use by use."""
    found: dict[str, list[int]] = {name: [] for name in weights}
    with torch.no_grad(), Watch(weights, lambda use: found[use.name].append(use.bytes)):
        module(*tensors)
    return found


def inputs(
    module: torch.nn.Module, weights: Mapping[str, torch.Tensor], tensors: tuple[torch.Tensor, ...]
) -> dict[str, torch.Tensor]:
    """What weights are fed with, as [places, in]."""
    found: dict[str, list[torch.Tensor]] = {name: [] for name in weights}
    with torch.no_grad(), Watch(weights, lambda use: found[use.name].append(use.inputs())):
        module(*tensors)
    return {name: torch.cat(parts) for name, parts in found.items()}


def halt(
    module: torch.nn.Module,
    weights: Mapping[str, torch.Tensor],
    tensors: tuple[torch.Tensor, ...],
    stop: Stop,
) -> None:
    """Compute, and stop before each use of some weights."""
    with torch.no_grad(), Watch(weights, lambda use: stop(use.name, lambda: np.asarray(use.inputs()))):
        module(*tensors)


def unfolded(fed: torch.Tensor, weight: torch.Tensor | None = None, *options: list[int]) -> torch.Tensor:
    """[places, in] of what a matrix is fed with, or a convolution: its stride, padding and dilation."""
    if weight is None:
        return fed
    kernel = tuple(weight.shape[2:])
    steps, around, apart = (_each(option, weight) for option in options)
    fed = functional.pad(fed, [edge for each in reversed(around) for edge in (each, each)])
    if len(kernel) == 1:
        fed, kernel, steps, apart = fed.unsqueeze(-2), (1, *kernel), (1, *steps), (1, *apart)
    if kernel == (1, 1):
        seen = fed[:, :, :: steps[0], :: steps[1]].flatten(2)
    else:
        seen = functional.unfold(fed, kernel, apart, stride=steps)
    return seen.transpose(1, 2).reshape(-1, seen.shape[1])
