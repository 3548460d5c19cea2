"""A program as a flat graph of ATen ops with static shapes: what every precision is emitted from."""

from __future__ import annotations

import io
import logging
import operator
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import torch
from torch.fx import GraphModule, Node

if TYPE_CHECKING:
    from .._torch.model import Program

aten = torch.ops.aten

CHECKS = {
    aten._assert_tensor_metadata.default,
    aten._assert_scalar.default,
    aten._assert_async.msg,
    aten.sym_constrain_range.default,
    aten.sym_constrain_range_for_size.default,
}
"""What export adds to guard its assumptions: shapes are fixed here, and the runner checks them."""


NETWORK = "network"
"""What a program calls the source's own module, beside the steps around it."""


class NotExportable(Exception):
    """The program has no graph: its control flow depends on the data, say."""


def capture(program: Program) -> GraphModule:
    """The graph of a program, functional; every call has its ``name`` in ``meta``. Raises NotExportable."""
    with quiet():
        try:
            exported = torch.export.export(program.module, program.example, strict=False)
            module = exported.run_decompositions({}).module()
        except Exception as error:  # torch.export raises what it likes
            raise NotExportable(_reason(error)) from error
    assert isinstance(module, GraphModule)
    for node in list(module.graph.nodes):
        is_guard = node.op == "call_module" or (node.op == "call_function" and node.target in CHECKS)
        if is_guard and not node.users:
            module.graph.erase_node(node)
    for node in module.graph.nodes:
        is_known = node.op in ("placeholder", "get_attr", "output") or node.target is operator.getitem
        if not is_known and not is_op(node):  # a branch that torch.cond expresses, say
            raise NotExportable(f"its graph has {node.target}")
    _name(module)
    return module


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch.export logs and prints while it fails: the error says it too."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def calls(module: GraphModule) -> list[Node]:
    """The ops, in the order they run."""
    return [node for node in module.graph.nodes if node.op == "call_function"]


def is_op(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload)


def kind(node: Node) -> str:
    """The op's name without its overload, as TorchScript has it: ``aten::conv2d``."""
    return str(node.target._schema.name) if is_op(node) else node.op  # type: ignore[union-attr]


def value(module: GraphModule, name: str) -> Any:
    """The parameter or constant at a dotted path."""
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part)
    return found


def arguments(node: Node) -> dict[str, Any]:
    """All of a call's arguments by name, defaults included."""
    found = {}
    for place, argument in enumerate(node.target._schema.arguments):  # type: ignore[union-attr]
        if place < len(node.args) and not argument.kwarg_only:
            found[argument.name] = node.args[place]
        elif argument.name in node.kwargs:
            found[argument.name] = node.kwargs[argument.name]
        else:
            found[argument.name] = argument.default_value
    return found


def spread(values: Any, dims: int) -> list[int]:
    """A stride or padding, one value for each dimension."""
    each: list[int] = [values] if isinstance(values, int) else list(values)
    return each * dims if len(each) == 1 else each


def constant(module: GraphModule, node: object) -> torch.Tensor | None:
    """The tensor that a node stands for, if it is a parameter or a constant."""
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    found = value(module, str(node.target))
    return found.detach() if isinstance(found, torch.Tensor) else None


def _name(module: GraphModule) -> None:
    """Name every call by its module's path in the source, and by its kind where the module does more than one thing."""
    taken: set[str] = set()
    for node in filter(is_op, calls(module)):
        base = ".".join(_path(node))
        name = next(candidate for candidate in _numbered(base) if candidate not in taken)
        taken.add(name)
        node.meta["name"] = name


def _path(node: Node) -> Iterator[str]:
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path, owner = stack[-1] if stack else ("", "")
    owner = owner if isinstance(owner, str) else f"{owner.__module__}.{owner.__qualname__}"
    weights = [str(source.target) for source in node.all_input_nodes if source.op == "get_attr"]
    computes = len(weights) < len(node.all_input_nodes)  # not the zeros that a recurrent layer starts with
    is_layer = computes and owner.startswith("torch.nn.") or f"{path}.weight" in weights
    path = "" if path == NETWORK else path.removeprefix(f"{NETWORK}.")
    if path:
        yield path
    if not path or not is_layer:
        yield kind(node).rpartition("::")[2]


def _numbered(base: str) -> Iterator[str]:
    yield base
    number = 2
    while True:
        yield f"{base}_{number}"
        number += 1
