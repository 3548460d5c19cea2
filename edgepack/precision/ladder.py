"""Plans between one that is too rough and one that is better: the ops that need it most are moved up, few or many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ..spec import Precision
from ..target import Lowering, Op, Plan

MARGIN_DB = 20.0
"""How much better a weight's storage must become for a step up to be worth its bytes."""


@dataclass(frozen=True)
class Move:
    """An op that steps up, to which precision, and why it does."""

    op: str
    precision: Precision
    why: str


@dataclass(frozen=True)
class Ladder:
    """Plans of ever more moves.

    Attributes:
        moves: the most needed first.
    """

    start: Plan
    moves: tuple[Move, ...]

    def plan(self, count: int) -> Plan:
        """The plan with the first ``count`` moves made."""
        moved = {move.op: move.precision for move in self.moves[:count]}
        return replace(self.start, ops={**self.start.ops, **moved})

    def fewest(self, passes: Callable[[Plan], bool]) -> int:
        """The least number of moves that must be made; asks ``passes`` about ``2 log2(n)`` plans. None passing gives all."""
        failed, count = 0, 1
        while count < len(self.moves) and not passes(self.plan(count)):
            failed, count = count, min(2 * count, len(self.moves))
        while count - failed > 1:
            middle = (failed + count) // 2
            if passes(self.plan(middle)):
                count = middle
            else:
                failed = middle
        return count

    def upwards(self, count: int) -> Iterator[Plan]:
        """The plan of ``count`` moves, and for when it does not do: of twice as many, and again, to all of them."""
        yield self.plan(count)
        while count < len(self.moves):
            count = min(2 * count, len(self.moves))
            yield self.plan(count)

    def why(self, plan: Plan) -> dict[str, str]:
        """The reason of every move that one of its plans makes, by op."""
        return {move.op: move.why for move in self.moves if plan.ops.get(move.op) == move.precision}


def stored_better(lowering: Lowering, plan: Plan) -> Ladder:
    """Where precision is a matter of storage alone: the worst-stored weights a step better.

    The worst are those with the lowest SQNR of their weights, which needs no run of the model: per-tensor scales lose where
    one channel is much larger than the others (Nagel et al., Data-Free Quantization, 2019, section 3).
    """
    asked = plan.default
    better = [(op, found) for op in lowering.ops if (found := _step_up(op, asked)) is not None]
    worst_first = sorted(better, key=lambda pair: pair[0].weight_db[asked])
    return Ladder(plan, tuple(Move(op.name, found, _why(op, asked, found)) for op, found in worst_first))


def _step_up(op: Op, precision: Precision) -> Precision | None:
    """The smallest precision that stores the op's weights much better; of two alike, the better."""
    now = op.weight_db.get(precision)
    if now is None:
        return None
    better = [each for each, found in op.weight_db.items() if found >= now + MARGIN_DB]
    return min(better, key=lambda each: (each.bits, -op.weight_db[each]), default=None)


def _why(op: Op, asked: Precision, found: Precision) -> str:
    return (
        f"the gate was not met; as {asked.value} its weights keep {op.weight_db[asked]:.0f} dB, "
        f"as {found.value} {op.weight_db[found]:.0f}"
    )
