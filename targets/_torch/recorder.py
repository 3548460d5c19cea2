"""Watching one call of a module: what depends on its inputs, op by op, and what an edge runtime could not do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from .edges import ACTIVATIONS, MOVING, Edge, name_of

TO_PYTHON = {
    "__bool__": "bool()", "__int__": "int()", "__float__": "float()", "__complex__": "complex()", "__index__": "an index",
    "item": ".item()",
}  # fmt: skip
TO_ARRAY = {"tolist": ".tolist()", "numpy": ".numpy()", "__array__": "np.asarray()"}
OWN = ("aten", "prim", "prims", "higher_order")
QUANTIZED = ("quantized", "quantized_decomposed", "torchao")


@dataclass(frozen=True)
class Finding:
    """Something that stands in a model's way, and where in it that is."""

    kind: str
    what: str
    where: str


@dataclass
class Mark:
    """Of a tensor that depends on the inputs.

    Attributes:
        version: of its values; it is another tensor once they are overwritten.
        activation: what it ends with.
        edge: how it comes from one input by elementwise steps, where it does.
    """

    version: int
    activation: str = ""
    edge: Edge | None = None


@dataclass
class Record:
    """What was seen.

    Attributes:
        findings: in the order of the call.
        edges: where each input's way into the model begins.
    """

    findings: list[Finding] = field(default_factory=list)
    edges: list[Edge | None] = field(default_factory=list)
    marks: WeakTensorKeyDictionary = field(default_factory=WeakTensorKeyDictionary)

    def depends(self, tensor: torch.Tensor) -> bool:
        """Whether the tensor was computed from an input."""
        return tensor in self.marks

    def activation(self, tensor: torch.Tensor) -> str:
        mark: Mark | None = self.marks.get(tensor)  # type: ignore[no-untyped-call]
        return mark.activation if mark is not None and mark.version == version_of(tensor) else ""


def record(
    call: Callable[[], Any], inputs: Sequence[torch.Tensor], where: Callable[[], str]
) -> tuple[Any, Record]:
    """What the call returns, and what was seen on the way.

    Args:
        inputs: the tensors that it computes with.
        where: the place in the model that is computing now.
    """
    seen = Record()
    for tensor in inputs:
        edge = Edge.start(tensor) if tensor.dtype == torch.float32 else None
        seen.edges.append(edge)
        seen.marks[tensor] = Mark(version_of(tensor), edge=edge)
    with torch.no_grad(), _Python(seen, where), _Ops(seen, where):
        return call(), seen


class _Python(TorchFunctionMode):
    """Notices values that leave PyTorch: for an ``if``, a loop, a list, NumPy."""

    def __init__(self, seen: Record, where: Callable[[], str]) -> None:
        super().__init__()
        self._seen, self._where = seen, where

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        what = TO_PYTHON.get(name) or TO_ARRAY.get(name)
        if what and args and isinstance(args[0], torch.Tensor) and self._seen.depends(args[0]):
            kind = "array" if name in TO_ARRAY else "flow"
            self._seen.findings.append(Finding(kind, what, self._where()))
        return func(*args, **(kwargs or {}))


class _Ops(TorchDispatchMode):
    """Follows the inputs through the ops."""

    supports_higher_order_operators = True

    def __init__(self, seen: Record, where: Callable[[], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seen, self._where = seen, where
        # what depends on inputs was written into these; held, so that their ids stay theirs
        self._storages: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        leaves = pytree.tree_leaves((args, kwargs))
        given = [
            (each, mark) for each in leaves if isinstance(each, torch.Tensor) and (mark := self._mark(each))
        ]
        marks = [mark for _, mark in given]
        edge = self._step(func, args, kwargs, given)
        moves = name_of(func) in MOVING
        activation = marks[0].activation if moves and len(marks) == 1 else ACTIVATIONS.get(name_of(func), "")
        result = func(*args, **kwargs)
        self._notice(func, [tensor for tensor, _ in given])
        if marks:
            self._spread(func, args, result, activation, edge)
        return result

    def _mark(self, tensor: torch.Tensor) -> Mark | None:
        mark: Mark | None = self._seen.marks.get(tensor)  # type: ignore[no-untyped-call]
        if mark is not None and mark.version == version_of(tensor):
            return mark
        if mark is not None or _storage(tensor) in self._storages:
            return Mark(version_of(tensor))  # overwritten through a view: only that it depends is known
        return None

    @staticmethod
    def _step(func: Any, args: Any, kwargs: Any, given: list[tuple[torch.Tensor, Mark]]) -> Edge | None:
        """The way of an input through this op, where that goes on; every op that reads it is noted on it."""
        after = None
        if len(given) == 1 and given[0][1].edge is not None:
            after = given[0][1].edge.through(func, args, kwargs, given[0][0])
        for _, mark in given:
            if mark.edge is not None:
                mark.edge.readers.append(after)
        return after

    def _spread(self, func: Any, args: Any, result: Any, activation: str, edge: Edge | None) -> None:
        written = [value for value in _written(func, args) if isinstance(value, torch.Tensor)]
        for value in written:
            if storage := _storage(value):
                self._storages[storage] = value.untyped_storage()
        results = [each for each in pytree.tree_leaves(result) if isinstance(each, torch.Tensor)]
        for each in (*written, *results):
            # a write is counted when it is done, which is after this
            version = version_of(each) + any(each is value for value in written)
            self._seen.marks[each] = Mark(version, activation, edge)

    def _notice(self, func: Any, given: list[torch.Tensor]) -> None:
        namespace = getattr(func, "namespace", "aten")
        tags = getattr(func, "tags", ())
        if namespace in QUANTIZED:
            kind = "quantized"
        elif namespace not in OWN:
            kind = "custom"
        elif namespace == "higher_order":
            kind = "higher"
        elif torch.Tag.nondeterministic_seeded in tags:
            kind = "random"
        elif torch.Tag.dynamic_output_shape in tags and _selects(func, given):
            kind = "sized"
        else:
            return
        self._seen.findings.append(Finding(kind, str(func).removesuffix(".default"), self._where()))


def _selects(func: Any, given: list[torch.Tensor]) -> bool:
    """Whether the size of an op's result depends on values that depend on the inputs."""
    return bool(given) and (name_of(func) != "index" or any(each.dtype == torch.bool for each in given))


def version_of(tensor: torch.Tensor) -> int:
    """Counts the writes into a tensor; one made in inference mode is not counted."""
    return 0 if tensor.is_inference() else tensor._version


def _written(func: Any, args: Any) -> Iterator[Any]:
    """The arguments that an op writes into."""
    schema = getattr(func, "_schema", None)
    if schema is not None and schema.is_mutable:
        for argument, value in zip(schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                yield value


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata if tensor.layout == torch.strided else 0
