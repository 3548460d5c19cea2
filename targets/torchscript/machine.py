"""Walks a .ptl's bytecode: a stack machine with registers, in a straight line.

What a value is, and what an op makes of values, is the caller's: the audit walks with descriptions of tensors, the
comparison of layers with tensors. See torch/csrc/jit/mobile/interpreter.cpp for the instructions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from edgepack.errors import UsageError

from .archive import Archive, Method

BRANCHES = {"JF", "JMP", "LOOP"}

REBUILD = "Build the file again."

FORBIDDEN = {"aten::from_file", "aten::save", "aten::load", "prim::Print", "aten::manual_seed"}
"""Ops that reach outside of the model."""


@dataclass(frozen=True)
class Call:
    """One op as the bytecode has it.

    Attributes:
        number: its place among the ops.
        schema: of torch; None where this torch does not know it.
    """

    number: int
    kind: str
    overload: str
    schema: Any
    args: Sequence[Any]

    @property
    def returns(self) -> int:
        return len(self.schema.returns) if self.schema is not None else 1


def is_straight(method: Method) -> bool:
    """Whether it has neither branches nor loops nor calls."""
    return all(op not in BRANCHES and "CALL" not in op for op, _, _ in method.instructions)


def check(archive: Archive) -> None:
    """Refuse what no compiler writes: the interpreter trusts its bytecode. Raises UsageError."""
    for method in archive.methods:
        for op, x, n in method.instructions:
            low, high = _bounds(method, op, n)
            if op not in BRANCHES and not low <= x <= high or n < 0:
                raise UsageError(f"The bytecode of {method.name} is damaged: {op} {x} {n}.", REBUILD)
        outside = sorted({name for name, _, _ in method.operators} & FORBIDDEN)
        if outside:
            raise UsageError(
                f"The .ptl wants to run {', '.join(outside)}, which reach outside of a model.",
                "Do not run it.",
            )
    method = archive.forward
    if is_straight(method):
        walk(method, [None] * len(method.arguments), archive.attributes, lambda call: [None] * call.returns)


def _bounds(method: Method, op: str, n: int) -> tuple[int, int]:
    """The least and the greatest that an instruction's X can be."""
    if op in ("OP", "OPN"):
        return 0, len(method.operators) - 1
    if op == "LOADC":
        return 0, len(method.constants) - 1
    if op in ("LOAD", "MOVE", "STORE", "DROPR"):
        return 1, method.registers
    return (1, method.registers + 1 - n) if op == "STOREN" else (0, 2**31 - 1)


def walk(
    method: Method, inputs: Sequence[Any], attributes: Sequence[Any], call: Callable[[Call], Sequence[Any]]
) -> list[Any]:
    """Run a method's instructions in order; what it returns.

    Args:
        inputs: its arguments, without the module itself.
        attributes: of the module, by slot.
        call: what an op gives, one value for each of its returns.

    Raises:
        UsageError: an instruction that has no place in a straight line.
    """
    machine = _Machine(method, [_MODULE, *inputs], attributes, call)
    for op, x, n in method.instructions:
        if op == "RET":
            break
        machine.step(op, x, n)
    return machine.stack


_MODULE = object()


class _Machine:
    def __init__(
        self,
        method: Method,
        inputs: list[Any],
        attributes: Sequence[Any],
        call: Callable[[Call], Sequence[Any]],
    ) -> None:
        self.stack = inputs
        self._method = method
        self._attributes = attributes
        self._call = call
        self._registers: dict[int, Any] = {}
        self._count = 0

    def step(self, op: str, x: int, n: int) -> None:
        stack = self.stack
        match op:
            case "LOADC":
                stack.append(self._method.constants[x])
            case "GET_ATTR":
                (owner,) = self._pop(1)
                stack.append(self._attributes[x] if owner is _MODULE else None)
            case "LIST_CONSTRUCT":
                stack.append(self._pop(n))
            case "TUPLE_CONSTRUCT":
                stack.append(tuple(self._pop(x)))
            case "LIST_UNPACK":
                (found,) = self._pop(1)
                stack += found if isinstance(found, list | tuple) else [None] * x
            case "DROP":
                self._pop(1)
            case "OP" | "OPN":
                self._operate(x, n if op == "OPN" else None)
            case _:
                self._register(op, x, n)

    def _register(self, op: str, x: int, n: int) -> None:
        match op:
            case "STOREN":
                self._registers |= dict(enumerate(self._pop(n), x))
            case "STORE":
                (self._registers[x],) = self._pop(1)
            case "LOAD" | "MOVE":
                self.stack.append(self._registers[x])
            case "DROPR":
                self._registers.pop(x, None)
            case _:
                raise UsageError(f"The bytecode has a {op}, which cannot be followed.")

    def _pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise UsageError(
                f"The bytecode of {self._method.name} is damaged: it takes {count} values too many.", REBUILD
            )
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def _operate(self, x: int, count: int | None) -> None:
        kind, overload, given = self._method.operators[x]
        schema = find_schema(kind, overload)
        if count is None:
            count = given if given is not None else len(schema.arguments) if schema is not None else 0
        args = self._pop(count)
        self.stack += self._call(Call(self._count, kind, overload, schema, args))
        self._count += 1


def find_schema(kind: str, overload: str) -> Any:
    """Torch's schema of an operator; None where it has none."""
    for schema in torch._C._jit_get_schemas_for_operator(kind):
        if schema.overload_name == overload:
            return schema
    return None


def operators(method: Method) -> Iterator[tuple[int, str]]:
    """The number and kind of every op instruction, in the order of the text."""
    found = (x for op, x, _ in method.instructions if op in ("OP", "OPN"))
    return ((number, method.operators[x][0]) for number, x in enumerate(found))


def run(call: Call) -> Sequence[Any]:
    """Compute one op, by the kernel that the interpreter would take."""
    if call.kind == "aten::__getitem__":
        return [operator.getitem(*call.args)]
    namespace, _, name = call.kind.partition("::")
    function = getattr(getattr(getattr(torch.ops, namespace), name), call.overload or "default")
    positional, named = [], {}
    for argument, given in zip(call.schema.arguments, call.args, strict=False):
        if argument.kwarg_only:
            named[argument.name] = given
        else:
            positional.append(given)
    made = function(*positional, **named)
    return list(made) if call.returns > 1 else [made] if call.returns else []
