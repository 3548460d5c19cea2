"""From one precision that the user asks for to a plan for every op."""

from __future__ import annotations

from ..spec import Precision
from ..target import IO, Lowering, Op, Plan

STATIC = (Precision.INT8, Precision.INT16X8)


def uniform_plan(lowering: Lowering, precision: Precision, io: IO) -> Plan:
    """Every op at ``precision``; one that cannot take it gets the next best, an island that the audit explains."""
    if precision not in STATIC:
        return Plan(precision, io=io)
    exceptions = {op.name: _next_best(op) for op in lowering.ops if precision not in op.precisions}
    return Plan(precision, exceptions, io)


def _next_best(op: Op) -> Precision:
    """Weights in int8 where nothing else can be: a loop's body, say, is as small that way."""
    return Precision.INT8_DYNAMIC if Precision.INT8_DYNAMIC in op.precisions else Precision.FLOAT32
