"""From one precision that the user asks for to a plan for every op."""

from __future__ import annotations

from .spec import Precision
from .target import IO, Lowering, Plan

STATIC = (Precision.INT8, Precision.INT16X8)


def uniform_plan(lowering: Lowering, precision: Precision, io: IO) -> Plan:
    """Every op at ``precision``; those that cannot take it stay float32, islands that the audit explains."""
    if precision not in STATIC:
        return Plan(precision, io=io)
    exceptions = {op.name: Precision.FLOAT32 for op in lowering.ops if precision not in op.precisions}
    return Plan(precision, exceptions, io)
