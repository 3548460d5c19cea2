"""What is truly in a .tflite: read from the file, whoever made it."""

from __future__ import annotations

from collections import Counter

from edgepack.target import Audit, AuditOp

from .flatbuffer import ModelView, OpView, mistrust

FLOATS = {"float32", "float16", "float64", "bfloat16"}
CONVERSIONS = {"QUANTIZE", "DEQUANTIZE"}


def audit(data: bytes) -> Audit:
    """Ops, tensors and bytes by precision. Raises UsageError when the bytes are no .tflite."""
    view = ModelView(data)
    with mistrust():
        return _audit(view)


def _audit(view: ModelView) -> Audit:
    tensors: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    for number, graph in enumerate(view.model.subgraphs or []):
        for index in range(len(graph.tensors or [])):
            dtype = view.dtype(number, index)
            tensors[dtype] += 1
            weights[dtype] += view.data_bytes(number, index)
    dequantized = _dequantized_weights(view)
    makers = _makers(view)
    ops = tuple(_op(view, op, dequantized, makers) for op in view.ops)
    signature = view.signature
    boundary = {spec.dtype for spec in (*signature.inputs, *signature.outputs)}
    has_floats = any(dtype in FLOATS for op in view.ops for dtype in _dtypes(view, op))
    quantized = any(op.precision == "int8" for op in ops)
    only_int8 = all(op.precision in ("int8", "integer", "convert") for op in ops)
    return Audit(
        ops=ops,
        signature=signature,
        tensors_by_dtype=dict(sorted(tensors.items())),
        bytes_by_dtype={dtype: size for dtype, size in sorted(weights.items()) if size},
        full_int8=quantized and only_int8 and not has_floats and not boundary & FLOATS,
    )


def _dtypes(view: ModelView, op: OpView) -> set[str]:
    return {view.dtype(op.subgraph, index) for index in (*op.inputs, *op.outputs)}


def _dequantized_weights(view: ModelView) -> dict[tuple[int, int], str]:
    """The stored dtype of constants that a DEQUANTIZE in the file turns to float, by the float tensor."""
    return {
        (op.subgraph, op.outputs[0]): view.dtype(op.subgraph, op.inputs[0])
        for op in view.ops
        if op.kind == "DEQUANTIZE" and op.constants
    }


def _makers(view: ModelView) -> dict[tuple[int, int], str]:
    """By tensor, the op that computed it; what is only converted has its maker before that."""
    found: dict[tuple[int, int], str] = {}
    for op in view.ops:
        before = found.get((op.subgraph, op.inputs[0])) if op.inputs else None
        name = before if op.kind in CONVERSIONS else op.name
        found |= {(op.subgraph, index): name for index in op.outputs if name is not None}
    return found


def _op(
    view: ModelView,
    op: OpView,
    dequantized: dict[tuple[int, int], str],
    makers: dict[tuple[int, int], str],
) -> AuditOp:
    precision = _precision(view, op, dequantized)
    size = sum(view.data_bytes(op.subgraph, index) for index in op.constants)
    reads = dict.fromkeys(makers[key] for index in op.inputs if (key := (op.subgraph, index)) in makers)
    return AuditOp(op.name, op.kind, precision, size, _reason(view, op, precision), tuple(reads))


def _precision(view: ModelView, op: OpView, dequantized: dict[tuple[int, int], str]) -> str:
    if op.kind in CONVERSIONS:
        return "convert"
    activations = {
        view.dtype(op.subgraph, index) for index in (*op.inputs, *op.outputs) if index not in op.constants
    }
    constants = {view.dtype(op.subgraph, index) for index in op.constants}
    if activations & FLOATS:
        stored = {dequantized.get((op.subgraph, index)) for index in op.inputs}
        if "float16" in stored or "float16" in activations | constants:
            return "float16"
        return "int8_dynamic" if constants & {"int8", "int4", "int2"} else "float32"
    if "int16" in activations:
        return "int16x8"
    return "int8" if activations & {"int8", "uint8"} else "integer"


def _reason(view: ModelView, op: OpView, precision: str) -> str:
    if precision != "float32":
        return ""
    if op.kind in ("WHILE", "IF", "CALL", "CALL_ONCE"):
        return "control flow: its body computes in float"
    if op.kind == "CAST":
        return "a cast to or from float"
    return f"{op.kind} was left in float"
