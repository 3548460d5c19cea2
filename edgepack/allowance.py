"""How much compression a gate allows, where what was asked for is more.

Budgets with less of the same methods are tried by the closed form, as ``--prune auto`` does: chosen on calibration samples,
and the held-back ones have to agree. A build that failed takes no minutes more for it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as changed

from . import auto
from .bundle.command import command_line
from .compress.budget import Budget
from .console import format_seconds
from .errors import GateError, ModelError
from .events import inside, step
from .judge import Reference
from .workbench import Workbench

SECONDS = 60.0
"""No try is begun that is not expected to end within this time."""


@dataclass(frozen=True)
class Allowance:
    """What was found.

    Attributes:
        budget: the strongest that met the gate; None where none of those that were tried did.
        tries: how many were, in how many ``seconds``.
        command: builds the budget; where there is none, it draws the curve of what there is.
    """

    budget: Budget | None
    tries: int
    seconds: float
    command: str

    @property
    def advice(self) -> str:
        """What to do next, the command in a line of its own."""
        if self.budget is not None:
            return (
                f"{self.budget.flags} meets it, the most that was found in {format_seconds(self.seconds)} without "
                f"learning; with learning there may be a little more:\n  {self.command}"
            )
        looked = f"None of {self.tries} milder budgets met it without learning."
        if not self.tries:
            looked = f"Milder budgets were not tried, as one takes more than {SECONDS:.0f} s."
        return f"{looked} What there is to have:\n  {self.command}"


class _Tries:
    """Counts tries, and bounds their time: each is expected to take as long as the longest so far.

    Args:
        expected: seconds of the first.
    """

    def __init__(self, expected: float) -> None:
        self.count, self._longest = 0, expected
        self._start = self._last = time.monotonic()

    def another(self) -> bool:
        """Whether there is time for one more, which then begins."""
        now = time.monotonic()
        if self.count:
            self._longest = max(self._longest, now - self._last)
        self._last = now
        if self.seconds + self._longest > SECONDS:
            return False
        self.count += 1
        return True

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start


def look(bench: Workbench, reference: Reference) -> Allowance:
    """What the gate allows.

    Args:
        reference: of what was asked for.
    """
    project, tries = bench.project, _Tries(reference.seconds)
    with step("look for less") as looking, inside(looking):
        budget = _strongest(bench, Budget.given(project.compression).milder, tries)
        looking.detail = f"{tries.count} tries: {budget.flags if budget else 'none'}"
    made = project.smaller_by(dict(budget.amounts) if budget else {}, recover_minutes=0.0 if budget else None)
    verb = "build" if budget else "compress"
    command = command_line(made, bench.info.name, project.build.runtime, whole_paths=True, verb=verb)
    return Allowance(budget, tries.count, tries.seconds, command if budget else f"{command} --curve")


def refusal(error: GateError, bench: Workbench, reference: Reference) -> GateError:
    """The error of a search for a precision that found no plan, with what to do about compression."""
    return GateError(
        f"{error.message} Without compression it can be met.", look(bench, reference).advice, error.details
    )


def _strongest(bench: Workbench, ladder: Sequence[Budget], tries: _Tries) -> Budget | None:
    place, further = auto.chosen(bench, bench.load(), ladder, tries.another), 1
    while place < len(ladder) and tries.another():
        if _holds(bench, ladder[place]):
            return ladder[place]
        place, further = place + further, 2 * further
    return None


def _holds(bench: Workbench, budget: Budget) -> bool:
    """Whether the gate is met on the held-back samples, without learning."""
    build = bench.project.build
    wanted = budget.on(changed(bench.project.compression, recover_minutes=0.0))
    try:
        judge = bench.lowered(wanted, bench.load())
        trial = judge.trial(build.precision, bench.info.io(build.io))
    except (GateError, ModelError):
        return False
    return not trial.failures
