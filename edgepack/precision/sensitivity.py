"""Which ops a rough precision hurts the outputs through, found with far fewer trials than there are ops."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..events import step
from ..spec import Precision
from ..target import IO, Plan

GROUPS = 8
"""In how many runs of neighbours the ops are first probed."""

PROBES = 48
"""At most."""

MINOR = 0.02
"""A group with a lesser share of all noise is not looked into."""


@dataclass(frozen=True)
class Group:
    """Ops that run one after the other, and the noise by signal power in the outputs when they alone are rough."""

    ops: tuple[str, ...]
    noise: float

    def told(self, precision: Precision) -> str:
        """In words, why one of them moved up."""
        level = f"{-10 * math.log10(self.noise):.0f} dB" if self.noise else "next to exact"
        who = (
            "it alone leaves" if len(self.ops) == 1 else f"it and {len(self.ops) - 1} neighbours alone leave"
        )
        return f"the gate was not met; as {precision.value}, {who} the outputs {level}"


def sensitivities(
    rough: Mapping[str, Precision], io: IO, noise: Callable[[Plan], float], most: int = PROBES
) -> list[Group]:
    """The ops in groups, by how much noise they alone bring to the outputs when all others are float, noisiest first.

    Noise of several sources adds up, nearly, so a group is as bad as its ops together: the noisiest group is halved, again
    and again, until the noise is pinned on single ops (adaptive group testing). An op's own error is told from what it
    inherits, because nothing before it errs.

    Args:
        rough: the ops in the order they run, and their precision.
        noise: of a plan, in the outputs.
        most: probes.
    """
    asked = 0

    def probe(ops: Sequence[str]) -> Group:
        nonlocal asked
        asked += 1
        plan = Plan(Precision.FLOAT32, {name: rough[name] for name in ops}, io)
        return Group(tuple(ops), noise(plan))

    names = list(rough)
    size = -(-len(names) // GROUPS)
    with step("sensitivity") as probing:
        groups = [probe(names[start : start + size]) for start in range(0, len(names), size or 1)]
        minor = MINOR * sum(group.noise for group in groups)
        done = [group for group in groups if len(group.ops) == 1]
        queue = [(-group.noise, group.ops) for group in groups if len(group.ops) > 1]
        heapq.heapify(queue)
        while queue and asked + 2 <= most and -queue[0][0] > minor:
            _, ops = heapq.heappop(queue)
            for half in (probe(ops[: len(ops) // 2]), probe(ops[len(ops) // 2 :])):
                if len(half.ops) == 1:
                    done.append(half)
                else:
                    heapq.heappush(queue, (-half.noise, half.ops))
            probing.tell(f"{asked} probes", asked)
        found = sorted(
            [*done, *(Group(ops, -noise) for noise, ops in queue)],
            key=lambda group: (-group.noise, group.ops),
        )
        probing.detail = f"{asked} probes of {len(names)} ops" + (
            f"; most noise from {found[0].ops[0]}" if found else ""
        )
    return found
