"""What is truly in a .ptl: read from its bytecode, whoever made it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgepack.errors import UsageError
from edgepack.spec import Signature, TensorSpec
from edgepack.target import Audit, AuditOp

from .archive import Archive, Tensor, Thing, mistrust, read, tensors
from .machine import Call, check, is_straight, operators, walk
from .releases import FORMAT, OLDEST, UNTRIED, Needs, needs

FLOATS = {"float32", "float16", "float64", "bfloat16", "complex64", "complex128"}
DYNAMIC = ("_dynamic", "_dynamic_fp16", "quantized_lstm", "quantized_gru")
CONVERSIONS = {
    "aten::quantize_per_tensor",
    "aten::quantize_per_channel",
    "aten::dequantize",
    "aten::quantize_per_tensor_dynamic",
}
COUNTING = {
    "aten::argmax",
    "aten::eq",
    "aten::ne",
    "aten::lt",
    "aten::le",
    "aten::gt",
    "aten::ge",
    "aten::logical_not",
    "aten::size",
    "aten::arange",
    "aten::int_repr",
    "aten::len",
}
"""Ops that give integers or booleans."""

PLUMBING = ("prim::", "aten::__")
"""Ops on lists and numbers, which no model's author would call one."""


@dataclass(frozen=True)
class Value:
    """What is known of a value.

    Attributes:
        form: ``float``, ``int8`` or ``integer``.
        stored: the constants in it.
        made: the op that it comes from, past conversions.
    """

    form: str
    stored: tuple[Tensor, ...] = ()
    made: str = ""


def audit(data: bytes) -> Audit:
    """Ops, tensors and bytes by precision. Raises UsageError when the bytes are no .ptl."""
    archive = read(data)
    with mistrust():
        check(archive)
        return _audit(archive)


def read_signature(archive: Archive) -> Signature:
    """The inputs and outputs as edgepack noted them; of another's file, only how many there are. Raises UsageError."""
    method = archive.forward
    with mistrust():
        if "inputs" in archive.notes:
            inputs, outputs = (tuple(map(_spec, archive.notes[key])) for key in ("inputs", "outputs"))
            if len(inputs) != len(method.arguments):
                raise UsageError("The notes in the .ptl are of another model.", "Build the file again.")
            return Signature(inputs, outputs)
        return Signature(
            tuple(TensorSpec(name, (), "float32") for name in method.arguments),
            tuple(TensorSpec(f"output_{i}", (), "float32") for i in range(method.returns or 1)),
        )


def _spec(entry: dict[str, Any]) -> TensorSpec:
    return TensorSpec(str(entry["name"]), tuple(int(size) for size in entry["shape"]), str(entry["dtype"]))


def op_names(archive: Archive) -> list[str]:
    """A name for every op instruction: edgepack's, or its kind and number."""
    kinds = [kind for _, kind in operators(archive.forward)]
    noted = list(map(str, archive.notes.get("ops", ())))
    own = [kind for kind in kinds if not kind.startswith(PLUMBING)]
    if len(noted) == len(own):
        names = iter(noted)
        return ["" if kind.startswith(PLUMBING) else next(names) for kind in kinds]
    return ["" if kind.startswith(PLUMBING) else f"{number:03}_{kind}" for number, kind in enumerate(kinds)]


def _audit(archive: Archive) -> Audit:
    signature, names = read_signature(archive), op_names(archive)
    seen: list[AuditOp] = []
    counted: set[str] = set()

    def describe(call: Call) -> Sequence[Any]:
        op, result = _described(call, names[call.number], counted)
        if names[call.number]:
            seen.append(op)
        return [result] * call.returns

    method = archive.forward
    if is_straight(method):
        inputs = [Value("float" if spec.dtype in FLOATS else "integer") for spec in signature.inputs]
        attributes = [Value("float", tuple(tensors(made))) for _, made in archive.attributes]
        walk(method, inputs, attributes, describe)
    else:
        for number, kind in operators(method):
            describe(Call(number, kind, "", None, [Value("float")]))
    ops = tuple(_merged(seen))
    stored = {each.storage: each for each in tensors([made for _, made in archive.attributes])}
    stored |= {each.storage: each for each in tensors([other.constants for other in archive.methods])}
    sizes: Counter[str] = Counter()
    for each in stored.values():
        sizes[each.dtype] += each.bytes
    boundary = {spec.dtype for spec in (*signature.inputs, *signature.outputs)}
    only_int8 = all(op.precision in ("int8", "integer", "convert") for op in ops)
    return Audit(
        ops=ops,
        signature=signature,
        tensors_by_dtype=dict(sorted(Counter(each.dtype for each in stored.values()).items())),
        bytes_by_dtype={dtype: size for dtype, size in sorted(sizes.items()) if size},
        full_int8=only_int8 and any(op.precision == "int8" for op in ops) and not boundary & FLOATS,
        requires=_required(needs(archive)),
    )


def _required(found: Needs) -> dict[str, str]:
    required = {FORMAT: str(found.bytecode), OLDEST: found.release}
    return {**required, UNTRIED: ", ".join(found.untried)} if found.untried else required


def _described(call: Call, name: str, counted: set[str]) -> tuple[AuditOp, Value]:
    values = list(_values(call.args))
    stored = [each for value in values for each in value.stored if each.storage not in counted]
    counted.update(each.storage for each in stored)
    precision, form = _precision(call, values)
    reason = {
        "float32": f"{call.kind} was left in float",
        "int8_dynamic": "its weights are int8; its input is scaled anew each time",
    }.get(precision, "")
    reads = tuple(dict.fromkeys(value.made for value in values if value.made))
    made = name if name and precision != "convert" else "".join(reads[:1])
    op = AuditOp(name, call.kind, precision, sum(each.bytes for each in stored), reason, reads)
    return op, Value(form, made=made)


def _values(args: Iterable[Any]) -> Iterable[Value]:
    """What an op's arguments are, those in lists too."""
    for each in args:
        match each:
            case Value():
                yield each
            case Tensor() | Thing():
                yield Value("float", tuple(tensors(each)))
            case list() | tuple():
                yield from _values(each)


def _precision(call: Call, values: Sequence[Value]) -> tuple[str, str]:
    """The precision of an op, and the form of what it gives."""
    moving = [value.form for value in values if not value.stored]
    stored = {each.dtype for value in values for each in value.stored}
    if call.kind in CONVERSIONS:
        return "convert", "float" if call.kind == "aten::dequantize" else "int8"
    if call.kind.endswith(DYNAMIC) or call.kind.startswith("quantized::embedding"):
        return "int8_dynamic", "float"
    if call.kind.startswith("quantized::") or "int8" in moving:
        return "int8", "int8"
    if call.kind in COUNTING:
        return "integer", "integer"
    if "float16" in stored:
        return "float16", "float"
    floats = "float" in moving or stored & FLOATS or not values
    return ("float32", "float") if floats else ("integer", "integer")


def _merged(ops: Sequence[AuditOp]) -> Iterable[AuditOp]:
    """One op for what has one name: a convolution and the clamp that int8 makes part of it."""
    merged: dict[str, AuditOp] = {}
    for op in ops:
        known = merged.get(op.name)
        reads = tuple(each for each in op.reads if each != op.name)
        own = replace(op, reads=reads)
        merged[op.name] = replace(known, bytes=known.bytes + op.bytes) if known else own
    return merged.values()
