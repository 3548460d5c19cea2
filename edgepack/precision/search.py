"""``--precision auto``: the plan with the fewest bytes, and of equals the fastest, that meets the gate on samples to choose by.

First every op in one precision, for each that the target has. Then, from each that fails and is smaller or faster than the
best that does not, ladders: the ops that bring the most noise move up to what a better one has, as few as will do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..errors import UsageError
from ..events import step
from ..spec import Precision
from ..target import IO, Lowering, Op, Plan
from .ladder import Ladder, Move, stored_better
from .plan import level, uniform_plan
from .sensitivity import Group, sensitivities
from .trials import Places, Trials, Tried

ALIKE = 1.08
"""Artifacts of bytes this near to each other count as of one size; then the faster one is better."""

TRIMMED = 8
"""Up to so many moves are each tried without."""

WORTH = 2.0
"""How much less noise than others with 8-bit weights int16 activations must leave: 3 dB."""

SPEEDS = (
    Precision.INT8,
    Precision.INT8_DYNAMIC,
    Precision.FLOAT16,
    Precision.INT16,
    Precision.FLOAT32,
    Precision.INT16X8,
)
"""From the fastest to the slowest: arithmetic in 8 bits, floats from fewer bytes, floats; int16 activations, for which
runtimes have plain kernels only. Not measured, so that two runs agree."""


@dataclass(frozen=True)
class Point:
    """A plan that was tried.

    Attributes:
        name: ``int8, 3 of 40 ops float16``.
        ladder: that it is of, with ``count`` moves made.
    """

    name: str
    trial: Tried
    ladder: Ladder
    count: int = 0


class Search:
    """Searches a lowering's plans.

    Args:
        offered: the precisions that the target has.
        trials: what tries a plan.
        thorough: also try what can hardly be the best.

    Attributes:
        points: what was tried, in that order; probes of single ops are not among them.
        why: of the plan that was given last, by op: what moved it up.
    """

    def __init__(
        self, lowering: Lowering, offered: Sequence[Precision], io: IO, trials: Trials, thorough: bool = False
    ) -> None:
        self._lowering, self._io, self._trials, self._thorough = lowering, io, trials, thorough
        self._ops = tuple(lowering.ops)
        self._speeds = _speeds(self._ops)
        self._offered = sorted(offered, key=self._speeds.index)
        self._groups: dict[Precision, list[Group]] = {}
        self.points: list[Point] = []
        self.why: dict[str, str] = {}

    def plans(self) -> Iterator[Plan]:
        """The best plan; then, should it fail on other samples, plans ever closer to float."""
        self.run()
        best = self.best
        if best is not None:
            for plan in best.ladder.upwards(best.count):
                self.why = best.ladder.why(plan)
                yield plan
            self.why = {}
            larger = [each for each in self.passing if not each.count and each.trial.bytes > best.trial.bytes]
            yield from (each.trial.plan for each in sorted(larger, key=lambda each: each.trial.bytes))
        yield Plan(Precision.FLOAT32, io=self._io)

    def run(self) -> None:
        """Try what there is to try."""
        for precision in self._offered:
            plan = uniform_plan(self._lowering, precision, self._io)
            if precision != Precision.INT16X8 or self._thorough or self._is_worth_it(plan):
                self._try(precision.value, Ladder(plan, ()), 0)
        uniform = tuple(self.points)
        highs = self._highs(uniform)
        for low in uniform:
            if self._may_lead_further(low):
                for high in highs:
                    self._climb(low.trial.plan, high)

    def _is_worth_it(self, int16: Plan) -> bool:
        """int16 activations are slow, to try as well: only where no plan with 8-bit weights passes, and they are far better."""
        small = [each for each in self.points if each.trial.plan.default.bits == 8]
        if any(self.passes(each) for each in small):
            return False
        best = min((self._trials.noise(each.trial.plan) for each in small), default=math.inf)
        return self._trials.noise(int16) < best / WORTH

    def taken(self, number: int) -> Plan:
        """A point of the front, counted from 1. Raises UsageError."""
        self.run()
        front = self.front
        if not 1 <= number <= len(front):
            raise UsageError(
                f"There is no point {number} to take; there are {len(front)}.", "See them with edgepack tune."
            )
        point = front[number - 1]
        self.why = point.ladder.why(point.trial.plan)
        return point.trial.plan

    @property
    def places(self) -> Places:
        """What the gate is also held to: see Places."""
        return self._trials.places

    @property
    def passing(self) -> list[Point]:
        return [each for each in self.points if self.passes(each)]

    @property
    def best(self) -> Point | None:
        """The fewest bytes; of those with about as many, the fastest."""
        passing = self.passing
        least = min((each.trial.bytes for each in passing), default=0)
        alike = [each for each in passing if each.trial.bytes <= ALIKE * least]
        return min(alike, key=lambda each: (self._slowness(each.trial.plan), each.trial.bytes), default=None)

    @property
    def front(self) -> list[Point]:
        """The points that no other beats in both bytes and SQNR, smallest first, and the best, should it not be of them."""
        ran = [each for each in self.points if not each.trial.error]
        front: list[Point] = []
        best, highest = self.best, -math.inf
        for point in sorted(ran, key=lambda each: (each.trial.bytes, -each.trial.sqnr_db)):
            if point is best or point.trial.sqnr_db > highest:
                front.append(point)
            highest = max(highest, point.trial.sqnr_db)
        return front

    def passes(self, point: Point) -> bool:
        """Whether the gate holds, on the samples to choose by."""
        return not self._trials.failures(point.trial)

    @property
    def count(self) -> int:
        """How many plans were tried, probes of single ops among them."""
        return self._trials.count

    def _try(self, name: str, ladder: Ladder, count: int) -> bool:
        """Try a plan, and note what came of it; whether it meets the gate."""
        plan = ladder.plan(count)
        if plan in self._trials:
            return self._trials.passes(plan)
        with step("try") as trying:
            trying.detail = name
            trial = self._trials(plan)
            if not trial.error and not self._trials.gate.failures(trial.outputs):
                self._trials.places.note(trial.outputs)
            failures = self._trials.failures(trial)
            trying.detail = f"{name}: {trial}" + ("" if failures else ", meets the gate")
        self.points.append(Point(name, trial, ladder, count))
        return not failures

    def _may_lead_further(self, low: Point) -> bool:
        """Whether a plan that fails is so small, or so fast, that with a few ops moved up it could be better than the best."""
        best = self.best
        if low.trial.error or best is None or self.passes(low):
            return False
        if low.trial.bytes * ALIKE < best.trial.bytes:
            return True
        as_small = low.trial.bytes <= ALIKE * best.trial.bytes
        return as_small and self._slowness(low.trial.plan) < self._slowness(best.trial.plan)

    def _highs(self, uniform: Sequence[Point]) -> list[Precision]:
        """What ops may move up to: what those have that pass and are the smallest; and the smallest float."""
        passing = [each for each in uniform if self.passes(each)]
        least_bytes = min((each.trial.bytes for each in passing), default=0)
        small = [each for each in passing if each.trial.bytes <= ALIKE * least_bytes]
        floats = [each for each in passing if each.trial.plan.default.bits > 8]
        least = sorted(floats, key=lambda each: each.trial.bytes)[:1]
        return list(dict.fromkeys(each.trial.plan.default for each in (*small, *least)))

    def _climb(self, low: Plan, high: Precision) -> None:
        """The fewest moves that will do, and fewer still: each of a few is also tried without.

        Inputs and outputs become float where not even all moves will do with them as they are.
        """
        for ladder in self._ladders(low, high):
            total = len(ladder.moves)
            for each in (ladder, replace(ladder, start=replace(low, io="float"))):
                if total and self._try(self._name(low, high, total), each, total):
                    self._descend(each, high)
                    break

    def _descend(self, ladder: Ladder, high: Precision) -> None:
        def passes(plan: Plan) -> bool:
            count = sum(plan.ops.get(move.op) == move.precision for move in ladder.moves)
            return self._try(self._name(ladder.start, high, count), ladder, count)

        count = ladder.fewest(passes)
        if count <= TRIMMED and passes(ladder.plan(count)):
            self._trim(ladder, count, high)

    def _trim(self, ladder: Ladder, count: int, high: Precision) -> None:
        for move in reversed(ladder.moves[: count - 1]):
            fewer = Ladder(ladder.start, (*(each for each in ladder.moves if each is not move), move))
            if self._try(self._name(ladder.start, high, count - 1), fewer, count - 1):
                ladder, count = fewer, count - 1

    def _name(self, low: Plan, high: Precision, count: int) -> str:
        moved = "better stored" if any(op.weight_db for op in self._ops) else high.value
        return f"{low.default.value}, {count} of {len(self._ops)} ops {moved}"

    def _ladders(self, low: Plan, high: Precision) -> Iterator[Ladder]:
        """Moves from one plan towards another's precision, the noisiest ops first; then those that bring most for their bytes."""
        if any(op.weight_db for op in self._ops):
            yield stored_better(self._lowering, low)
            return
        groups = {name: group for group in self._sensitive(low) for name in group.ops}
        total = sum(op.weight_bytes for op in self._ops) or 1
        noise: dict[Move, float] = {}
        worth: dict[Move, float] = {}
        for op in self._ops:
            now, then = self._level(low, op), level(op, high)
            if op.name in groups and now != then:
                group = groups[op.name]
                move = Move(op.name, then, group.told(now))
                cost = 1 / len(self._ops) + op.weight_bytes / total * (then.bits - now.bits) / 8
                noise[move] = group.noise / len(group.ops)
                worth[move] = noise[move] / cost
        yield Ladder(low, tuple(sorted(noise, key=noise.__getitem__, reverse=True)))
        yield Ladder(low, tuple(sorted(worth, key=worth.__getitem__, reverse=True)))

    def _sensitive(self, low: Plan) -> list[Group]:
        if low.default not in self._groups:
            rough = [op for op in self._ops if self._level(low, op) != Precision.FLOAT32]
            self._groups[low.default] = sensitivities(
                {op.name: self._level(low, op) for op in rough}, self._io, self._trials.noise
            )
        return self._groups[low.default]

    def _level(self, plan: Plan, op: Op) -> Precision:
        return plan.ops.get(op.name) or level(op, plan.default)

    def _slowness(self, plan: Plan) -> float:
        """The mean place of the weights' precisions, from fast to slow."""
        total = sum(op.weight_bytes for op in self._ops) or 1
        return sum(op.weight_bytes / total * self._speeds.index(self._level(plan, op)) for op in self._ops)


def _speeds(ops: Sequence[Op]) -> tuple[Precision, ...]:
    """Precisions from fast to slow, for the family that the ops are of.

    Convolutions are bound by arithmetic. Matrix products and recurrent cells are bound by memory, and what is between them
    (softmax, normalisation, gates) wants float: there int8 weights with float activations are the better guess.
    """
    convolved = sum(op.weight_bytes for op in ops if "CONV" in op.kind.upper())
    int8, dynamic, *rest = SPEEDS
    is_convolutional = 2 * convolved > sum(op.weight_bytes for op in ops)
    return SPEEDS if is_convolutional else (dynamic, int8, *rest)
