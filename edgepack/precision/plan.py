"""From one precision that the user asks for to a plan for every op."""

from __future__ import annotations

from ..spec import Precision
from ..target import IO, Lowering, Op, Plan

STATIC = (Precision.INT8, Precision.INT16X8)


def uniform_plan(lowering: Lowering, precision: Precision, io: IO) -> Plan:
    """Every op at ``precision``; one that cannot take it gets the next best, an island that the audit explains."""
    if precision not in STATIC:
        return Plan(precision, io=io)
    exceptions = {op.name: level(op, precision) for op in lowering.ops if precision not in op.precisions}
    return Plan(precision, exceptions, io)


def level(op: Op, precision: Precision) -> Precision:
    """What an op gets where ``precision`` is asked for.

    Weights in int8 where activations cannot be: a loop's body, say, is as small that way.
    """
    if precision in op.precisions:
        return precision
    dynamic = precision in STATIC and Precision.INT8_DYNAMIC in op.precisions
    return Precision.INT8_DYNAMIC if dynamic else Precision.FLOAT32
