"""What was done for an artifact's accuracy, so that it can be explained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..spec import Precision

if TYPE_CHECKING:
    from ..target import Plan


@dataclass(frozen=True)
class Note:
    """One method, tried on one tensor or on all.

    Attributes:
        where: the tensor or op; empty for the whole model.
        method: its name.
        before_db, after_db: the SQNR without and with it: of the outputs, or of the tensor alone.
        kept: whether the artifact has it.
        skipped: why it was not tried.
        precision: of the integers that it was tried for.
    """

    where: str
    method: str
    before_db: float = 0.0
    after_db: float = 0.0
    kept: bool = False
    skipped: str = ""
    precision: str = ""

    def told(self, what: str) -> str:
        """In words, of what it is about: the outputs, or a tensor's range."""
        if self.skipped:
            return f"{self.method} was not tried: {self.skipped}"
        gave = f"{self.before_db:.1f} to {self.after_db:.1f} dB"
        return f"{self.method}, {what} {gave}, {'kept' if self.kept else 'not kept'}"


def notes_on(plan: Plan, notes: Iterable[Note]) -> tuple[Note, ...]:
    """Those that are about the integers of a plan; int8 comes first where it has two kinds."""
    precisions = {plan.default, *plan.ops.values()}
    static = (each for each in (Precision.INT8, Precision.INT16X8) if each in precisions)
    used = next(static, None)
    return tuple(note for note in notes if note.precision == used)
