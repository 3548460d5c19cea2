"""Weights followed to where they multiply, by watching the dispatcher: below modules, functions and TorchScript.

A linear layer, an attention's projection and a step of an LSTM are all an ``addmm`` there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

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

USING = {*LINEAR, *CONVOLUTION, *TABLES, *OTHERS}


@contextmanager
def step_by_step() -> Iterator[None]:
    """Meanwhile an LSTM computes by the dispatcher's ops, and not as one of oneDNN's, which shows nothing."""
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
        places: of the output.
        is_table: values are looked up, which runtimes store with one scale for all.
    """

    name: str
    kind: Kind
    is_turned: bool
    bias: str | None = None
    fed: tuple[Any, ...] = ()
    places: int = 1
    is_table: bool = False


class _Tracker(TorchDispatchMode):
    """Follows some weights through views of them to the ops that use them."""

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = {id(each): _View(name, each.ndim) for name, each in weights.items()}
        self._kept: list[Any] = []  # an id is one for as long as its owner lives

    def note(self, use: Use) -> None:
        raise NotImplementedError

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in MOVING:
            self._follow(name, args, result)
        elif name in USING:
            for use in self._uses(name, args, result):
                self.note(use)
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

    def _uses(self, name: str, args: Any, result: Any) -> Iterator[Use]:
        tensors = {place: each for place, each in enumerate(args) if isinstance(each, torch.Tensor)}
        views = {place: self._known[id(each)] for place, each in tensors.items() if id(each) in self._known}
        at = LINEAR.get(name, (0, 1, 2) if name in CONVOLUTION else (None, None, None))
        for place, view in views.items():
            if tensors[place].ndim < 2:
                continue
            others = [each for other, each in views.items() if other not in (place, at[2])]
            if place != at[1] or others or view.is_turned is None or (name in LINEAR and view.rank != 2):
                yield Use(view.name, "weights", view.is_turned or False, is_table=name in TABLES)
            elif name in LINEAR:
                bias = views[at[2]].name if at[2] in views else None
                fed = tensors[at[0]].flatten(0, -2)
                yield Use(view.name, "linear", not view.is_turned, bias, (fed,), len(fed))
            else:
                yield _convolution(view.name, args, result, views[2].name if 2 in views else None)


def _is_same(whole: torch.Tensor, part: torch.Tensor) -> bool:
    """Whether it has all values in the same places, but for a dimension of 1 before them."""
    return part.numel() == whole.numel() and part.squeeze().shape == whole.squeeze().shape


def _turns(name: str, args: Any) -> bool:
    """Whether it exchanges the two dimensions."""
    if name == "transpose":
        return bool((args[1] - args[2]) % 2)
    return name == "t" or args[1][0] % 2 == 1


def _convolution(name: str, args: Any, result: torch.Tensor, bias: str | None) -> Use:
    weight, transposed, groups = args[1], args[6], args[8]
    places = result.numel() // result.shape[1]
    if groups != 1:
        return Use(name, "depthwise", False, bias, (), places)
    if transposed or weight.ndim > 4:
        return Use(name, "weights", transposed, None, (), places)
    return Use(name, "conv", False, bias, (args[0], weight, *args[3:6]), places)


class Look(_Tracker):  # type: ignore[no-untyped-call]
    """Notes all uses, by weight."""

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__(weights)
        self.uses: dict[str, list[Use]] = {}

    def note(self, use: Use) -> None:
        self.uses.setdefault(use.name, []).append(replace(use, fed=()))


class Watch(_Tracker):  # type: ignore[no-untyped-call]
    """Notes what weights are fed with: [places, in], as a weight sees them.

    Args:
        weights: of the module that is run.
        calls: how often each of them is used in one run; without, the run goes to its end.

    Raises:
        AllSeen: out of the module, once there is all for every weight.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], calls: Mapping[str, int] | None = None) -> None:
        super().__init__(weights)
        self._left = Counter(calls)
        self.seen: dict[str, list[torch.Tensor]] = {name: [] for name in weights}

    def note(self, use: Use) -> None:
        self.seen[use.name].append(unfolded(*use.fed))
        self._left[use.name] -= 1
        if sum(self._left.values()) == 0:
            raise AllSeen


class AllSeen(Exception):
    """All that is watched for is there; what comes behind it need not be computed."""


def unfolded(fed: torch.Tensor, weight: torch.Tensor | None = None, *options: list[int]) -> torch.Tensor:
    """[places, in] of what a matrix is fed with, or a convolution: its stride, padding and dilation."""
    if weight is None:
        return fed
    places = weight.ndim - 2
    kernel = tuple(weight.shape[2:])
    steps, around, apart = (tuple(each) * (places // len(each)) for each in options)
    fed = functional.pad(fed, [edge for each in reversed(around) for edge in (each, each)])
    if places == 1:
        fed, kernel, steps, apart = fed.unsqueeze(-2), (1, *kernel), (1, *steps), (1, *apart)
    if kernel == (1, 1):
        seen = fed[:, :, :: steps[0], :: steps[1]].flatten(2)
    else:
        seen = functional.unfold(fed, kernel, apart, stride=steps)
    return seen.transpose(1, 2).reshape(-1, seen.shape[1])
