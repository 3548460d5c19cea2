"""Why ops have another precision than was asked for: what only the plan, the lowering and the search know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..target import Audit, Lowering, Plan


def explained(audit: Audit, lowering: Lowering, plan: Plan, why: Mapping[str, str]) -> Audit:
    """The audit with a reason for every op that differs.

    Args:
        why: what moved an op up, by its name.
    """
    ops = lowering.ops  # as they are now that the plan was emitted: calibration may have shown more limits
    if any(
        op.weight_db for op in ops
    ):  # only weights are stored in the precision: others have nothing to explain
        ops = [op for op in ops if op.weight_db]
    reasons = {op.name: why.get(op.name) or op.limits.get(plan.default, "") for op in ops}
    return replace(
        audit, ops=tuple(replace(op, reason=reasons.get(op.name) or op.reason) for op in audit.ops)
    )
