"""Sums and products with constants, one for each channel: into the layer before them, or at most one of each.

Batch normalisation is such a sum and product, however a source writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule, Node

from .edit import add_constant, insert, put, replace, sweep
from .graph import arguments, calls, constant, is_op, kind
from .kernels import PASSING, SCALARS

aten = torch.ops.aten

CONVOLUTIONS = {"aten::conv1d": 0, "aten::conv2d": 0, "aten::conv3d": 0}
TRANSPOSED = {"aten::conv_transpose1d": 1, "aten::conv_transpose2d": 1, "aten::conv_transpose3d": 1}
LAYERS = CONVOLUTIONS | TRANSPOSED | {"aten::linear": 0}
"""Where in their weights the output channels are."""

BATCH_NORM = "aten::_native_batch_norm_legit_no_training"


@dataclass(frozen=True)
class Affine:
    """``x * scale + shift``.

    Attributes:
        scale, shift: float64, of no dimension or one for each channel.
    """

    source: Node
    scale: torch.Tensor
    shift: torch.Tensor

    def after(self, inner: Affine) -> Affine:
        return Affine(inner.source, inner.scale * self.scale, inner.shift * self.scale + self.shift)


def fold(module: GraphModule) -> None:
    """Rewrite the graph in place."""
    for node in calls(module):
        if is_op(node) and isinstance(_output(node), torch.Tensor):
            for axis in dict.fromkeys((1, _output(node).dim() - 1)):
                if _fold(module, node, axis):
                    sweep(module)
                    break


def _fold(module: GraphModule, node: Node, axis: int) -> bool:
    """Whether the chain that ends here, of constants along an axis, has become less."""
    chain = _chain(module, node, axis)
    if not chain or _goes_on(module, node, axis):
        return False
    whole = chain[0]
    for each in chain[1:]:
        whole = whole.after(each)
    made = _folded(module, whole, axis) or _short(module, node, whole, axis, len(chain))
    if made is not None:
        _put(module, node, made)
    return made is not None


def _put(module: GraphModule, node: Node, made: Node) -> None:
    if kind(node) == BATCH_NORM:
        for user in list(node.users):  # getitem 0, the output; the statistics are training's
            put(module, user, made)
        module.graph.erase_node(node)
    else:
        put(module, node, made)


def _output(node: Node) -> Any:
    found = node.meta["val"]
    return found[0] if kind(node) == BATCH_NORM else found


def _chain(module: GraphModule, node: Node, axis: int) -> list[Affine]:
    """An op and the ones before it that nobody else reads; the last to run comes first."""
    found: list[Affine] = []
    step = _affine(module, node, axis)
    while step is not None:
        found.append(step)
        is_alone = is_op(step.source) and len(step.source.users) == 1
        step = _affine(module, step.source, axis) if is_alone else None
    return found


def _goes_on(module: GraphModule, node: Node, axis: int) -> bool:
    """Whether the only op that reads a node continues its chain."""
    if len(node.users) != 1 or kind(node) == BATCH_NORM:
        return False
    (user,) = node.users
    return is_op(user) and _affine(module, user, axis) is not None


def _affine(module: GraphModule, node: Node, axis: int) -> Affine | None:
    """The sum or product that one op is."""
    found = _output(node)
    if not isinstance(found, torch.Tensor) or found.dtype != torch.float32:
        return None
    if kind(node) == BATCH_NORM:
        return _batch_norm(module, node) if axis == 1 else None
    made = _sum_or_product(module, node, axis)
    if made is None or not isinstance(made.source, Node) or made.source.meta["val"].shape != found.shape:
        return None
    return made if bool(made.scale.isfinite().all()) else None


def _sum_or_product(module: GraphModule, node: Node, axis: int) -> Affine | None:
    """An op on a tensor and a constant, in whichever order."""
    args: Any = node.args
    name = kind(node).removeprefix("aten::")
    zero, one = torch.tensor(0.0).double(), torch.tensor(1.0).double()
    if name == "neg":
        return Affine(args[0], -one, zero)
    if name not in ("add", "sub", "rsub", "mul", "div") or "rounding_mode" in node.kwargs:
        return None
    left, right = (_channels(module, each, node, axis) for each in args[:2])
    if (left is None) == (right is None):
        return None
    source, number = (args[0], right) if left is None else (args[1], left)
    assert number is not None
    alpha = float(arguments(node).get("alpha", 1))  # what a sum multiplies its second operand by
    steps = {
        ("add", True): (one, number * alpha),
        ("add", False): (one * alpha, number),
        ("sub", True): (one, -number * alpha),
        ("sub", False): (-one * alpha, number),
        ("rsub", True): (-one * alpha, number),
        ("mul", True): (number, zero),
        ("mul", False): (number, zero),
        ("div", True): (1 / number, zero),
    }
    found = steps.get((name, left is None))
    return Affine(source, *found) if found is not None else None


def _channels(module: GraphModule, operand: object, node: Node, axis: int) -> torch.Tensor | None:
    """A constant operand, if it has one value for all or for each channel of what its op gives."""
    if isinstance(operand, int | float):
        return torch.tensor(float(operand)).double()
    tensor = constant(module, operand)
    if tensor is None:
        return None
    if tensor.numel() == 1:
        return tensor.double().reshape(())
    dims = _output(node).dim()
    sizes = [1] * (dims - tensor.dim()) + list(tensor.shape)
    is_along = len(sizes) == dims and axis < dims and sizes[axis] == tensor.numel()
    return tensor.double().flatten() if is_along else None


def _batch_norm(module: GraphModule, node: Node) -> Affine | None:
    source, *rest = node.args
    weight, bias, mean, variance = (constant(module, each) for each in rest[:4])
    if mean is None or variance is None or not isinstance(source, Node):
        return None
    scale = torch.rsqrt(variance.double() + float(node.args[6]))  # type: ignore[arg-type]
    scale = scale * weight.double() if weight is not None else scale
    return Affine(source, scale, -mean.double() * scale + (bias.double() if bias is not None else 0.0))


def _folded(module: GraphModule, whole: Affine, axis: int) -> Node | None:
    """The layer before it with other weights; crops in between stay."""
    layer, crops = whole.source, []
    while kind(layer) == "aten::slice" and len(layer.users) == 1 and _crops(layer, axis):
        crops.append(layer)
        layer = layer.args[0]  # type: ignore[assignment]
    if not is_op(layer) or kind(layer) not in LAYERS or len(layer.users) != 1:
        return None
    given = arguments(layer)
    weight, bias = constant(module, given["weight"]), constant(module, given["bias"])
    if weight is None or (given["bias"] is not None and bias is None):
        return None
    place, dims = LAYERS[kind(layer)], layer.meta["val"].dim()
    is_linear = kind(layer) == "aten::linear"
    is_along = axis == (dims - 1 if is_linear else 1)
    has_batch = is_linear or dims == weight.dim()
    if not is_along or not has_batch or (place == 1 and given["groups"] != 1):
        return None
    outputs = layer.meta["val"].shape[axis]
    scale, shift = (each.expand(outputs) for each in (whole.scale, whole.shift))
    if bool((scale != 1).any()):
        made = weight.double() * scale.reshape([-1 if dim == place else 1 for dim in range(weight.dim())])
        given["weight"] = add_constant(module, layer, made.float().contiguous())
    moved = shift + (bias.double() * scale if bias is not None else 0.0)
    given["bias"] = add_constant(module, layer, moved.float().contiguous())
    folded = replace(module, layer, layer.target, tuple(given.values()))
    return crops[0] if crops else folded


def _crops(node: Node, axis: int) -> bool:
    return isinstance(node.args[0], Node) and arguments(node)["dim"] % node.meta["val"].dim() != axis


def _short(module: GraphModule, node: Node, whole: Affine, axis: int, length: int) -> Node | None:
    """A product and a sum; of channels that are computed, a convolution of each on its own, which has an integer kernel."""
    dims, name = _output(node).dim(), node.meta["name"]
    channels = max(whole.scale.numel(), whole.shift.numel())
    named = {3: aten.conv1d.default, 4: aten.conv2d.default}
    if channels > 1 and axis == 1 and dims in named and _is_computed(whole.source):
        ones = [1] * (dims - 2)
        weight = add_constant(module, node, whole.scale.expand(channels).float().reshape(-1, 1, *ones))
        bias = add_constant(module, node, whole.shift.expand(channels).float().contiguous())
        shape = (ones, [0] * len(ones), ones, channels)
        return insert(module, node, named[dims], (whole.source, weight, bias, *shape), name)
    steps = [
        (aten.mul.Tensor, whole.scale, bool((whole.scale != 1).any())),
        (aten.add.Tensor, whole.shift, bool((whole.shift != 0).any())),
    ]
    needed = [(target, values) for target, values, is_needed in steps if is_needed]
    if len(needed) >= length and kind(node) != BATCH_NORM:
        return None
    made, along = whole.source, [-1, *[1] * (dims - 1 - axis)]
    for number, (target, values) in enumerate(needed):
        constants = values.float().reshape(along if values.numel() > 1 else [])
        own = name if number == len(needed) - 1 else f"{name}.scale"
        made = insert(module, node, target, (made, add_constant(module, node, constants)), own)
    return made


def _is_computed(node: Node) -> bool:
    """Whether more has been done to a value than to move and scale an input."""
    while kind(node) in SCALARS | PASSING:
        node = next(each for each in node.all_input_nodes if each.op != "get_attr")
    return is_op(node)
