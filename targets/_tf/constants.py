"""Constants of a frozen graph whose values are a matrix of weights, and what they are fed with.

A constant is known by its site, where it goes in: the names of constants themselves are drawn anew in each trace.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from edgepack.compress.student import Kind, Layer
from edgepack.spec import Array

from .layers import Matrix, patches

PASSING = {"Identity", "ExpandDims", "Squeeze", "Reshape"}
"""Ops that leave the values in their order."""

OUTPUTS = {
    "MatMul": (-1,), "Conv2D": (-1,), "Conv3D": (-1,), "DepthwiseConv2dNative": (-2, -1),
    "Conv2DBackpropInput": (-2,), "Conv3DBackpropInputV2": (-2,), "GatherV2": (),
}  # fmt: skip
"""Ops that weights go into, and the axes of their output channels; of those in nested functions the last one is."""

OTHERS = {"BatchMatMulV2", "Einsum", "While", "StatelessWhile", "If", "StatelessIf", "PartitionedCall"}
OTHERS |= {"StatefulPartitionedCall"}


TRANSPOSED = {"Conv2DBackpropInput", "Conv3DBackpropInputV2"}


class Site(NamedTuple):
    """An input of an op."""

    op: str
    place: int

    def origin(self, graph: Any) -> Any:
        """The constant that goes in there, perhaps through ops that leave its values as they are.

        Raises:
            KeyError: there is none.
        """
        constant, _ = _origin(graph.get_operation_by_name(self.op).inputs[self.place])
        if constant is None:
            raise KeyError(self.op)
        return constant

    def value(self, graph: Any) -> Array:
        found: Array = tf.make_ndarray(self.origin(graph).get_attr("value"))
        return found


@dataclass(frozen=True)
class Constant(Matrix):
    """A matrix in a frozen graph.

    Attributes:
        site: the first of where it goes in.
        ops: that multiply their first input with it; none where that cannot be told.
        bias: where a constant is added to what the op gives, and to nothing else.
    """

    site: Site
    ops: tuple[str, ...]
    bias: Site | None

    @property
    def is_fed(self) -> bool:
        return bool(self.ops)


class Use(NamedTuple):
    """A constant in an op; ``is_plain`` where that is the place of weights, and they are in their order."""

    op: Any
    place: int
    is_plain: bool


def found(graph: Any) -> Iterator[tuple[Layer, Constant]]:
    """The matrices of a graph in the order in which they are first used; what is a variable comes later: see GraphStudent."""
    uses: dict[str, list[Use]] = {}
    for op in graph.get_operations():
        for place, given in enumerate(op.inputs if op.type in OUTPUTS.keys() | OTHERS else ()):
            constant, in_order = _origin(given)
            if constant is not None and _is_matrix(constant.outputs[0]):
                uses.setdefault(constant.name, []).append(Use(op, place, in_order and place == _place(op)))
    counts = Counter(own[0].op.name for own in uses.values())
    for name, own in uses.items():
        shape = tuple(graph.get_operation_by_name(name).outputs[0].shape)
        first = own[0]
        title = first.op.name.replace("StatefulPartitionedCall/", "")
        yield _described(title if counts[first.op.name] == 1 else f"{title}:{first.place}", shape, own)


def _is_matrix(constant: Any) -> bool:
    return bool(constant.dtype == tf.float32 and sum(size > 1 for size in constant.shape) > 1)


def _place(op: Any) -> int:
    """Of the weights among an op's inputs; -1 where there is no fixed one."""
    return {"GatherV2": 0}.get(op.type, 1) if op.type in OUTPUTS else -1


def _origin(tensor: Any) -> tuple[Any, bool]:
    """The constant that a tensor comes from, if it does, and whether its values are still in their order."""
    in_order = True
    while tensor.op.type in PASSING | {"Transpose"}:
        in_order &= tensor.op.type != "Transpose"
        tensor = tensor.op.inputs[0]
    return (tensor.op if tensor.op.type == "Const" else None), in_order


def _described(name: str, shape: tuple[int, ...], uses: list[Use]) -> tuple[Layer, Constant]:
    ops = [use.op for use in uses]
    outputs: tuple[int, ...] = (-1,)
    if all(use.is_plain for use in uses):
        outputs = OUTPUTS[ops[0].type]
        if ops[0].type == "MatMul" and ops[0].get_attr("transpose_b"):
            outputs = (0,)
    axes = tuple(axis % len(shape) for axis in outputs)
    out = math.prod(shape[axis] for axis in axes)
    kind: Kind = "weights"
    fed = [use.op for use in uses if use.is_plain and _is_fed(use.op, shape)]
    if len(fed) == len(uses):
        kind = "linear" if ops[0].type == "MatMul" else "conv"
    if "DepthwiseConv2dNative" in (op.type for op in ops) or _is_grouped(ops[0], shape):
        kind = "depthwise"
    has_inputs = kind in ("linear", "conv")
    bias = _bias(ops[0], out) if has_inputs and len(ops) == 1 else None
    places = sum(_places(use, out) for use in uses)
    layer = Layer(name, kind, (out, math.prod(shape) // out), bias is not None, places)
    names = tuple(op.name for op in fed) if has_inputs else ()
    return layer, Constant(None, axes, Site(ops[0].name, uses[0].place), names, bias)


def _places(use: Use, out: int) -> int:
    """At how many places an op multiplies with weights for one sample; what is within other functions counts as one."""
    op = use.op
    if op.type == "GatherV2":
        return 0  # it looks up, and multiplies nothing
    if op.type in ("While", "StatelessWhile"):
        return _steps(op)
    if op.type == "Einsum":
        return _repeats(op, use.place)
    if op.type == "BatchMatMulV2":
        weights, is_turned = op.inputs[use.place].shape, op.get_attr("adj_y" if use.place else "adj_x")
        summed = weights[-2 if use.place != is_turned else -1]
        return int(math.prod(size or 1 for size in op.outputs[0].shape) * summed // math.prod(weights))
    if op.type not in OUTPUTS:
        return 1
    seen, made = (op.inputs[2], op.inputs[2].shape[-1]) if op.type in TRANSPOSED else (op.outputs[0], out)
    return int(math.prod(size or 1 for size in seen.shape) // made)


def _steps(loop: Any) -> int:
    """As many as the sequences have that a loop reads."""
    read = (given.op.inputs[0] for given in loop.inputs if given.op.type == "TensorListFromTensor")
    return max((each.shape[0] or 1 for each in read if each.shape.rank), default=1)


def _repeats(einsum: Any, place: int) -> int:
    """How often an einsum multiplies with each value of an input: the sizes of the letters that this one has not."""
    terms = einsum.get_attr("equation").decode().partition("->")[0].split(",")
    letters = zip("".join(terms), (size for given in einsum.inputs for size in given.shape), strict=False)
    return math.prod(size or 1 for letter, size in dict(letters).items() if letter not in terms[place])


def _is_fed(op: Any, shape: tuple[int, ...]) -> bool:
    """Whether what it multiplies with its weights can be looked at."""
    if op.type == "MatMul":
        return len(shape) == 2 and not op.get_attr("transpose_a")
    return bool(op.type == "Conv2D" and op.get_attr("data_format") == b"NHWC")


def _is_grouped(op: Any, shape: tuple[int, ...]) -> bool:
    return bool(op.type == "Conv2D" and op.inputs[0].shape[-1] != shape[-2])


def _bias(op: Any, out: int) -> Site | None:
    readers = op.outputs[0].consumers()
    while len(readers) == 1 and readers[0].type in ("Squeeze", "BatchToSpaceND"):  # of signals, of dilation
        readers = readers[0].outputs[0].consumers()
    if len(readers) != 1 or readers[0].type not in ("BiasAdd", "Add", "AddV2"):
        return None
    for place, given in enumerate(readers[0].inputs):
        constant, _ = _origin(given)
        if constant is not None and given.shape == constant.outputs[0].shape == (out,):
            alone = len(constant.outputs[0].consumers()) == 1
            return Site(readers[0].name, place) if alone else None
    return None


def unfolded(op: Any, fed: Any) -> Any:
    """[places, in]: what each output place of an op sees of its first input, in the order of ``Constant.matrix``."""
    if op.type == "MatMul":
        return fed
    sizes = op.inputs[1].shape[:2].as_list()
    strides, rates = (list(op.get_attr(name))[1:3] for name in ("strides", "dilations"))
    padding = op.get_attr("padding").decode()
    if padding == "EXPLICIT":
        around = list(op.get_attr("explicit_paddings"))
        fed, padding = tf.pad(fed, [around[place : place + 2] for place in range(0, 8, 2)]), "VALID"
    return patches(fed, sizes, strides, rates, padding)
