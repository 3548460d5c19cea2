"""Permutations move towards the outputs, past every op that can do without, until they meet their inverse.

A source whose channels are last permutes around every convolution; of that, only what happens at its inputs and outputs
is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.fx import GraphModule, Node

from .edit import add_constant, insert, put, replace, shape, sweep
from .graph import arguments, calls, constant, is_op, kind

aten = torch.ops.aten

Order = tuple[int, ...]

REDUCTIONS = {"aten::mean", "aten::sum", "aten::amax", "aten::amin"}
ALONG = {"aten::softmax", "aten::log_softmax", "aten::slice", "aten::cumsum", "aten::argmax", "aten::argmin"}
"""Ops along one dimension."""


POINTWISE = {"aten::hardswish", "aten::rsub", "aten::to", "aten::_to_copy"}
"""Beside those that PyTorch itself says are pointwise."""


def sink(module: GraphModule) -> None:
    """Rewrite the graph in place, in the order in which it runs."""
    for node in calls(module):
        if is_op(node) and isinstance(node.meta.get("val"), torch.Tensor):
            _compose(module, _sunk(module, node) or node)
    sweep(module)
    known: dict[tuple[Any, ...], Node] = {}
    for node in calls(module):
        _simplify(module, node, known)


def order_of(node: object) -> Order | None:
    """What a permutation makes of its input's dimensions."""
    if not isinstance(node, Node) or node.op != "call_function":
        return None
    args: Any = node.args
    match kind(node):
        case "aten::permute":
            return tuple(dim % len(args[1]) for dim in args[1])
        case "aten::transpose" | "aten::swapaxes":
            dims = list(range(node.meta["val"].dim()))
            first, second = args[1:3]
            dims[first], dims[second] = dims[second], dims[first]
            return tuple(dims)
        case "aten::t" | "aten::numpy_T":
            return tuple(reversed(range(node.meta["val"].dim())))
    return None


def inverse(order: Order) -> Order:
    return tuple(order.index(dim) for dim in range(len(order)))


def _compose(module: GraphModule, node: Node) -> None:
    """A permutation and the one before it are one; none, where nothing moves."""
    order = order_of(node)
    if order is None:
        return
    source: Any = node.args[0]
    inner = order_of(source)
    if inner is not None:
        source, order = source.args[0], tuple(inner[dim] for dim in order)
        node = replace(module, node, aten.permute.default, (source, list(order)))
    if order == tuple(range(len(order))):
        put(module, node, source)


def _simplify(module: GraphModule, node: Node, known: dict[tuple[Any, ...], Node]) -> None:
    """A permutation that moves nothing but dimensions of one is a reshape; of reshapes, the last one counts."""
    order = order_of(node)
    if order is not None:
        sizes = shape(module, node.args[0])  # type: ignore[arg-type]
        moving = [dim for dim in order if sizes[dim] != 1]
        if moving == sorted(moving):
            node = replace(module, node, aten.reshape.default, (node.args[0], [sizes[dim] for dim in order]))
    elif kind(node) != "aten::reshape":
        return
    source: Any = node.args[0]
    if kind(node) == "aten::reshape":
        if kind(source) == "aten::reshape":
            source = source.args[0]
            node = replace(module, node, aten.reshape.default, (source, node.args[1]))
        if shape(module, source) == tuple(node.meta["val"].shape):
            put(module, node, source)
            return
    same = known.setdefault((node.target, source, str(node.args[1:])), node)
    if same is not node:
        put(module, node, same)


def _moving(node: object) -> Order | None:
    """What a permutation that may move on does; at an input, it stays."""
    order = order_of(node)
    is_at_input = order is not None and node.args[0].op == "placeholder"  # type: ignore[attr-defined]
    return None if is_at_input else order


def _sunk(module: GraphModule, node: Node) -> Node | None:
    """The permutation after an op that has taken the place of those before it."""
    if kind(node) in POINTWISE or torch.Tag.pointwise in node.target.tags:  # type: ignore[union-attr]
        return _pointwise(module, node)
    if kind(node) == "aten::cat":
        return _cat(module, node)
    if kind(node) == "aten::reshape":
        return _repeat(module, node)
    source = node.args[0] if node.args else None
    order = _moving(source)
    if order is None:
        return None
    if kind(node) in REDUCTIONS:
        return _reduction(module, node, source.args[0], order)  # type: ignore[union-attr]
    if kind(node) in ALONG:
        return _along(module, node, source.args[0], order)  # type: ignore[union-attr]
    if kind(node) == "aten::constant_pad_nd":
        pad = _pad(node.args[1], order)  # type: ignore[arg-type]
        return _after(module, node, (source.args[0], pad, *node.args[2:]), order)  # type: ignore[union-attr]
    return None


def _after(module: GraphModule, node: Node, args: tuple[Any, ...], order: Order, target: Any = None) -> Node:
    """The op on what was permuted, and the permutation after it."""
    made = insert(module, node, target or node.target, args, node.meta["name"], dict(node.kwargs))
    return _permuted(module, node, made, order)


def _permuted(module: GraphModule, node: Node, made: Node, order: Order) -> Node:
    name = f"{node.meta['name']}.permute"
    permuted = insert(module, node, aten.permute.default, (made, list(order)), name)
    put(module, node, permuted)
    return permuted


def _pointwise(module: GraphModule, node: Node) -> Node | None:
    order = next((found for found in map(_moving, node.all_input_nodes) if found is not None), None)
    if order is None or len(order) != node.meta["val"].dim():
        return None
    unmake = _undone(module, node, order, node.all_input_nodes)
    if unmake is None:
        return None
    args = tuple(unmake(each) if isinstance(each, Node) else each for each in node.args)
    return _after(module, node, args, order)


def _cat(module: GraphModule, node: Node) -> Node | None:
    given = arguments(node)
    order = next((found for found in map(_moving, given["tensors"]) if found is not None), None)
    if order is None:
        return None
    unmake = _undone(module, node, order, given["tensors"])
    if unmake is None:
        return None
    args = ([unmake(each) for each in given["tensors"]], order[given["dim"]])
    return _after(module, node, args, order)


def _undone(
    module: GraphModule, node: Node, order: Order, operands: Sequence[Node]
) -> Callable[[Node], Node] | None:
    """How to have every operand as it was before the permutation; None where that takes more than it saves."""
    permuted = [each for each in operands if order_of(each) == order]
    others = [
        each
        for each in operands
        if each not in permuted and constant(module, each) is None and not _is_line(module, each)
    ]
    is_last = len(order) >= 4 and order == (0, *range(2, len(order)), 1)
    if len(others) > (len(permuted) - 1 if is_last else 0):
        return None
    if any(len(shape(module, each)) != len(order) for each in others):
        return None
    return lambda each: _before(module, node, each, order)


def _is_line(module: GraphModule, node: Node) -> bool:
    return sum(size != 1 for size in shape(module, node)) <= 1


def _before(module: GraphModule, node: Node, operand: Node, order: Order) -> Node:
    if order_of(operand) == order:
        return operand.args[0]  # type: ignore[return-value]
    sizes = shape(module, operand)
    if not sizes:
        return operand
    full = (*[1] * (len(order) - len(sizes)), *sizes)
    back = inverse(order)
    tensor = constant(module, operand)
    if tensor is not None:
        return add_constant(module, node, tensor.reshape(full).permute(back))
    name = f"{operand.meta.get('name', operand.name)}.permute"
    if _is_line(module, operand):
        return insert(module, node, aten.reshape.default, (operand, [full[dim] for dim in back]), name)
    return insert(module, node, aten.permute.default, (operand, list(back)), name)


def _reduction(module: GraphModule, node: Node, source: Any, order: Order) -> Node | None:
    given = arguments(node)
    if given.get("dim") is None:
        return None
    dims = [order[dim] for dim in ([given["dim"]] if isinstance(given["dim"], int) else given["dim"])]
    if not dims:
        return None
    args = (source, dims, given["keepdim"])
    if given["keepdim"]:
        return _after(module, node, args, order)
    return _after(module, node, args, _without(order, dims))


def _without(order: Order, dims: Sequence[int]) -> Order:
    """The order of the dimensions that are left."""
    left = [dim for dim in order if dim not in dims]
    return tuple(sorted(left).index(dim) for dim in left)


def _along(module: GraphModule, node: Node, source: Any, order: Order) -> Node | None:
    given = arguments(node)
    if given["dim"] is None:
        return None
    dim = order[given["dim"]]
    rest = node.args[2:]
    left = _without(order, [dim]) if given.get("keepdim") is False else order
    return _after(module, node, (source, dim, *rest), left)


def _pad(pad: Sequence[int], order: Order) -> list[int]:
    """Padding pairs, which count from the last dimension, of what was permuted."""
    pairs = [(0, 0)] * len(order)
    for place in range(len(pad) // 2):
        pairs[order[len(order) - 1 - place]] = (pad[2 * place], pad[2 * place + 1])
    while pairs and pairs[0] == (0, 0):
        del pairs[0]
    return [edge for pair in reversed(pairs) for edge in pair]


def _repeat(module: GraphModule, node: Node) -> Node | None:
    """Every row or column of an image several times, as ``upsample_nearest2d``."""
    expanded = node.args[0]
    if not isinstance(expanded, Node) or kind(expanded) != "aten::expand":
        return None
    unit = expanded.args[0]
    if not isinstance(unit, Node) or kind(unit) != "aten::reshape":
        return None
    source = unit.args[0]
    order = _moving(source)
    if order is None or len(order) != 4 or len(shape(module, unit)) != 5:
        return None
    sizes, made = shape(module, source), tuple(node.meta["val"].shape)  # type: ignore[arg-type]
    for dim in (dim for dim in range(4) if order[dim] >= 2):
        times = made[dim] // sizes[dim]
        single, widened = ((*sizes[: dim + 1], each, *sizes[dim + 1 :]) for each in (1, times))
        steps = (shape(module, unit), shape(module, expanded), made)
        if steps == (single, widened, _times(sizes, dim, times)):
            return _upsampled(module, node, source.args[0], order, order[dim], times)  # type: ignore[union-attr]
    return None


def _times(sizes: tuple[int, ...], dim: int, times: int) -> tuple[int, ...]:
    return tuple(size * times if place == dim else size for place, size in enumerate(sizes))


def _upsampled(module: GraphModule, node: Node, source: Any, order: Order, dim: int, times: int) -> Node:
    size = list(_times(shape(module, source), dim, times)[2:])
    if kind(source) == "aten::upsample_nearest2d" and len(source.users) == 1 and _is_multiple(module, source):
        source = source.args[0]
    return _after(module, node, (source, size), order, aten.upsample_nearest2d.default)


def _is_multiple(module: GraphModule, upsampled: Node) -> bool:
    """Whether every pixel is there equally often, so that more of each is the same in one step as in two."""
    pairs = zip(shape(module, upsampled), shape(module, upsampled.args[0]), strict=True)  # type: ignore[arg-type]
    has_scales = upsampled.target is not aten.upsample_nearest2d.default or len(upsampled.args) > 2
    return not has_scales and all(size % own == 0 for size, own in pairs)
