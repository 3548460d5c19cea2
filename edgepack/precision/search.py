"""The few ops that need more than the precision that was asked for, where only the storage of weights is at stake."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..spec import Precision
from ..target import Lowering, Op, Plan

MARGIN_DB = 20.0
"""How much better a weight's storage must become for a step up to be worth its bytes."""


class Promotions:
    """Plans in which the worst-stored weights are a step better, a few of them or many.

    The worst are those with the lowest SQNR of their weights, which needs no run of the model: per-tensor scales lose where
    one channel is much larger than the others (Nagel et al., Data-Free Quantization, 2019, section 3).
    """

    def __init__(self, lowering: Lowering, plan: Plan) -> None:
        self._plan = plan
        better = {op.name: found for op in lowering.ops if (found := _step_up(op, plan.default)) is not None}
        worst_first = sorted(
            (op for op in lowering.ops if op.name in better), key=lambda op: op.weight_db[plan.default]
        )
        self.ops: Sequence[Op] = worst_first
        self._better = better

    def plan(self, count: int) -> Plan:
        """The plan with the ``count`` worst ops a step up."""
        return replace(
            self._plan,
            ops={**self._plan.ops, **{op.name: self._better[op.name] for op in self.ops[:count]}},
        )

    def fewest(self, passes: Callable[[Plan], bool]) -> int:
        """The least number of ops that must step up; asks ``passes`` about ``2 log2(n)`` plans. None passing gives all."""
        failed, count = 0, 1
        while count < len(self.ops) and not passes(self.plan(count)):
            failed, count = count, min(2 * count, len(self.ops))
        while count - failed > 1:
            middle = (failed + count) // 2
            if passes(self.plan(middle)):
                count = middle
            else:
                failed = middle
        return count


def _step_up(op: Op, precision: Precision) -> Precision | None:
    """The smallest precision that stores the op's weights much better; of two alike, the better."""
    now = op.weight_db.get(precision)
    if now is None:
        return None
    better = [each for each, found in op.weight_db.items() if found >= now + MARGIN_DB]
    return min(better, key=lambda each: (each.bits, -op.weight_db[each]), default=None)
