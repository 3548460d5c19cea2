"""What was done for an artifact's accuracy, so that it can be explained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """One method, tried on one tensor or on all.

    Attributes:
        where: the tensor or op; empty for the whole model.
        method: its name.
        before_db, after_db: the SQNR without and with it: of the outputs, or of the tensor alone.
        kept: whether the artifact has it.
        skipped: why it was not tried.
    """

    where: str
    method: str
    before_db: float = 0.0
    after_db: float = 0.0
    kept: bool = False
    skipped: str = ""
