"""Complex numbers of an exported program as pairs of real tensors: spectra, what is done with them, and sounds made of them.

A transform is the product with a constant matrix, the one of the discrete Fourier transform of n values,
X[k] = sum over m of x[m] exp(-2 pi i k m / n) (Oppenheim and Schafer, Discrete-Time Signal Processing, chapter 8); that of
frames of a sound is a convolution whose kernels are the matrix's rows times the window. Both come out of float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.node import map_arg

from .torch_errors import has_complex
from .torch_steps import Steps, arguments, call, constant, known, put

_aten = torch.ops.aten


@dataclass(frozen=True)
class Pair:
    """A complex value; both parts have its shape."""

    real: Node
    imag: Node


@dataclass
class _Work:
    """The pass under way.

    Attributes:
        pairs: the complex values that have been met.
        powers: the squares of the absolute values that have been made.
    """

    exported: ExportedProgram
    pairs: dict[Node, Pair] = field(default_factory=dict)
    powers: dict[Node, Node] = field(default_factory=dict)

    def transformed(self, node: Node, steps: Steps, weight: Tensor, stride: int | None = None) -> Node:
        """The product with a matrix, [results, values], on the last axis, or as the kernels of a convolution."""
        basis = constant(self.exported, node, "basis", weight.float())
        if stride is None:
            return steps.then(_aten.linear.default, basis)
        return steps.then(_aten.conv1d.default, basis, None, [stride])


def spell(exported: ExportedProgram) -> None:
    """Leave no complex number, in place. Raises ModelError at the first op on one that has no rule here."""
    work = _Work(exported)
    for node in list(exported.graph.nodes):
        is_squared = node.target in _SQUARES and node.args[0] in work.powers
        if not (is_squared or _is_complex(node) or any(map(_is_complex, node.all_input_nodes))):
            continue
        made = _RULES[node.target](work, node) if node.target in _RULES else None
        if isinstance(made, Pair):
            work.pairs[node] = made
        elif isinstance(made, Node):
            put(exported, node, made)
        elif not is_squared:
            raise has_complex(node)
    for node in [*reversed(work.pairs), *(root for root in work.powers if not root.users)]:
        exported.graph.erase_node(node)


def _is_complex(node: Node) -> bool:
    value = node.meta.get("val")
    return node.op != "output" and isinstance(value, Tensor) and value.is_complex()


def _halves(node: Node, both: Node, dim: int) -> Pair:
    """The first half of an axis as the real part, the second as the imaginary."""
    size = both.meta["val"].shape[dim] // 2
    first, second = (call(node, _aten.slice.Tensor, both, dim, begin, begin + size) for begin in (0, size))
    return Pair(first, second)


def _rows(spectrum: Tensor) -> Tensor:
    """[values, bins], complex, as the matrix of a product that gives the real parts, then the imaginary ones."""
    return torch.cat([spectrum.real.T, spectrum.imag.T])


def _stft(work: _Work, node: Node) -> Pair | Node | None:
    given = arguments(node, 1)
    size, length = given["n_fft"], given["win_length"] or given["n_fft"]
    window = torch.ones(length) if given["window"] is None else known(work.exported, given["window"])
    if _is_complex(given["self"]) or window is None or window.is_complex() or given["align_to_window"]:
        return None
    before = (size - length) // 2
    spectrum = torch.fft.fft(torch.diag(_centered(window, size)))[before : before + length]
    if given["onesided"] is not False:
        spectrum = spectrum[:, : size // 2 + 1]
    if given["normalized"]:
        spectrum = spectrum / size**0.5
    steps = Steps(node, given["self"])
    is_single = len(steps.sizes) == 1
    steps.then(_aten.reshape.default, [-1, 1, steps.sizes[-1]])
    if given.get("center"):
        steps.then(_aten.pad.default, [size // 2] * 2, given["pad_mode"])
    steps.crop([before], [steps.sizes[-1] - size + length])
    both = work.transformed(node, steps, _rows(spectrum)[:, None], given["hop_length"] or size // 4)
    if is_single:
        both = steps.then(_aten.reshape.default, steps.sizes[1:])
    pair = _halves(node, both, both.meta["val"].ndim - 2)
    return pair if given["return_complex"] else _stacked(node, pair)


def _centered(window: Tensor, size: int) -> Tensor:
    """With zeros around it, float64."""
    before = (size - len(window)) // 2
    return torch.nn.functional.pad(window.double(), (before, size - len(window) - before))


def _istft(work: _Work, node: Node) -> Node | None:
    """The frames, each times the window, added where they overlap, over the sum of the windows' squares."""
    given = arguments(node, 1)
    size, hop = given["n_fft"], given["hop_length"] or given["n_fft"] // 4
    window = (
        torch.ones(given["win_length"] or size)
        if given["window"] is None
        else known(work.exported, given["window"])
    )
    if window is None or window.is_complex() or given["return_complex"] or given["onesided"] is False:
        return None
    window = _centered(window, size)
    basis = _back(size, size // 2 + 1) * window * (size**0.5 if given["normalized"] else 1)
    pair = work.pairs[given["self"]]
    *batch, bins, frames = pair.real.meta["val"].shape
    steps = Steps(node, call(node, _aten.cat.default, [pair.real, pair.imag], -2))
    steps.then(_aten.reshape.default, [-1, 2 * bins, frames])
    kernels = constant(work.exported, node, "basis", basis[:, None].float())
    steps.then(_aten.conv_transpose1d.default, kernels, None, [hop])
    squares = (window**2)[None, :, None].expand(1, size, frames)
    total = torch.nn.functional.fold(squares, (1, steps.sizes[-1]), (1, size), stride=(1, hop))[0, 0]
    start, length = size // 2 if given["center"] else 0, node.meta["val"].shape[-1]
    steps.crop([start], [min(length, steps.sizes[-1] - start)])
    scale = total[0, start : start + steps.sizes[-1]].reciprocal().float()
    steps.then(_aten.mul.Tensor, constant(work.exported, node, "envelope", scale))
    steps.extend([0], [length - steps.sizes[-1]])
    return steps.then(_aten.reshape.default, [*batch, length])


def _back(size: int, bins: int, norm: str | None = None) -> Tensor:
    """What one is in every real part, then in every imaginary one, as values: [2 * bins, size]."""
    each = torch.eye(bins, dtype=torch.float64)
    return torch.cat([torch.fft.irfft(part, size, norm=norm) for part in (each + 0j, each * 1j)])


def _forward(transform: Callable[..., Tensor]) -> Callable[[_Work, Node], Pair | None]:
    """The rule of a transform of real values along one axis."""

    def rule(work: _Work, node: Node) -> Pair | None:
        given = arguments(node, 1)
        if _is_complex(given["self"]):
            return None
        steps = Steps(node, given["self"])
        steps.then(_aten.transpose.int, given["dim"], -1)
        size = given["n"] or steps.sizes[-1]
        steps.crop([0], [min(size, steps.sizes[-1])])
        spectrum = transform(torch.eye(size, dtype=torch.float64)[: steps.sizes[-1]], norm=given["norm"])
        both = work.transformed(node, steps, _rows(spectrum))
        pair = _halves(node, both, both.meta["val"].ndim - 1)
        return Pair(
            *(call(node, _aten.transpose.int, each, given["dim"], -1) for each in (pair.real, pair.imag))
        )

    return rule


def _irfft(work: _Work, node: Node) -> Node:
    given = arguments(node, 1)
    pair, dim = work.pairs[given["self"]], given["dim"]
    size = node.meta["val"].shape[dim]
    bins = min(size // 2 + 1, pair.real.meta["val"].shape[dim])
    parts = []
    for part in (pair.real, pair.imag):
        steps = Steps(node, part)
        steps.then(_aten.transpose.int, dim, -1)
        steps.crop([0], [bins])
        parts.append(steps.made)
    steps = Steps(node, call(node, _aten.cat.default, parts, -1))
    work.transformed(node, steps, _back(size, bins, given["norm"]).T)
    return steps.then(_aten.transpose.int, dim, -1)


def _each(work: _Work, node: Node) -> Pair:
    """The same op on both parts."""

    def part(name: str) -> Node:
        args: Any = map_arg(
            node.args, lambda each: getattr(work.pairs[each], name) if each in work.pairs else each
        )
        return call(node, node.target, *args, **node.kwargs)

    return Pair(part("real"), part("imag"))


def _sum(work: _Work, node: Node) -> Pair | None:
    return _each(work, node) if all(each in work.pairs for each in node.args) else None


def _quotient(work: _Work, node: Node) -> Pair | None:
    return None if node.args[1] in work.pairs or isinstance(node.args[1], complex) else _each(work, node)


def _product(work: _Work, node: Node) -> Pair | None:
    if any(isinstance(each, complex) for each in node.args):
        return None
    if not all(each in work.pairs for each in node.args):
        return _each(work, node)
    one, other = (work.pairs[each] for each in node.args)  # type: ignore[index]

    def products(first: Node, second: Node, third: Node, fourth: Node, join: Any) -> Node:
        sides = call(node, _aten.mul.Tensor, first, second), call(node, _aten.mul.Tensor, third, fourth)
        return call(node, join, *sides)

    return Pair(
        products(one.real, other.real, one.imag, other.imag, _aten.sub.Tensor),
        products(one.real, other.imag, one.imag, other.real, _aten.add.Tensor),
    )


def _conjugate(work: _Work, node: Node) -> Pair:
    pair = work.pairs[node.args[0]]  # type: ignore[index]
    return Pair(pair.real, call(node, _aten.neg.default, pair.imag))


def _absolute(work: _Work, node: Node) -> Node:
    pair = work.pairs[node.args[0]]  # type: ignore[index]
    squares = [call(node, _aten.mul.Tensor, part, part) for part in (pair.real, pair.imag)]
    power = call(node, _aten.add.Tensor, *squares)
    made = call(node, _aten.sqrt.default, power)
    work.powers[made] = power
    return made


def _square(work: _Work, node: Node) -> Node | None:
    """The root is not drawn only to be squared."""
    return work.powers[node.args[0]] if node.args[1:] in ((), (2,)) else None  # type: ignore[index]


def _stacked(node: Node, pair: Pair) -> Node:
    return call(node, _aten.stack.default, [pair.real, pair.imag], -1)


def _parts(node: Node) -> Pair:
    """Of a tensor whose last axis is the two of them."""
    first, second = (call(node, _aten.select.int, node.args[0], -1, index) for index in (0, 1))
    return Pair(first, second)


_ALIKE: tuple[Any, ...] = (
    _aten.transpose.int, _aten.permute.default, _aten.reshape.default, _aten.view.default, _aten.flatten.using_ints,
    _aten.slice.Tensor, _aten.select.int, _aten.unsqueeze.default, _aten.squeeze.default, _aten.squeeze.dim,
    _aten.squeeze.dims, _aten.expand.default, _aten.clone.default, _aten.contiguous.default, _aten.alias.default,
    _aten.resolve_conj.default, _aten.cat.default, _aten.stack.default, _aten.neg.default, _aten.mean.dim,
    _aten.sum.dim_IntList, _aten.constant_pad_nd.default,
)  # fmt: skip
"""They move, add or scale values, of both parts in the same way."""

_SQUARES: tuple[Any, ...] = (_aten.pow.Tensor_Scalar, _aten.square.default)

_RULES: dict[Any, Callable[[_Work, Node], Pair | Node | None]] = {
    **dict.fromkeys(_ALIKE, _each),
    **dict.fromkeys(_SQUARES, _square),
    _aten.stft.default: _stft,
    _aten.stft.center: _stft,
    _aten.istft.default: _istft,
    _aten.fft_rfft.default: _forward(torch.fft.rfft),
    _aten.fft_fft.default: _forward(torch.fft.fft),
    _aten.fft_irfft.default: _irfft,
    _aten.complex.default: lambda work, node: Pair(*node.args),  # type: ignore[arg-type]
    _aten.view_as_complex.default: lambda work, node: _parts(node),
    _aten.view_as_real.default: lambda work, node: _stacked(node, work.pairs[node.args[0]]),  # type: ignore[index]
    _aten.real.default: lambda work, node: work.pairs[node.args[0]].real,  # type: ignore[index]
    _aten.imag.default: lambda work, node: work.pairs[node.args[0]].imag,  # type: ignore[index]
    _aten._conj.default: _conjugate,
    _aten.add.Tensor: _sum,
    _aten.sub.Tensor: _sum,
    _aten.mul.Tensor: _product,
    _aten.div.Tensor: _quotient,
    _aten.abs.default: _absolute,
}
