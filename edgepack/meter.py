"""What ``edgepack bench`` asks of a target, and what targets measure with."""

from __future__ import annotations

import ctypes
import gc
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from .spec import Arrays


class Meter(Protocol):
    """An artifact loaded to be measured, as an app would load it, alone in its process."""

    @property
    def runtime(self) -> str:
        """What computes, for people: ``LiteRT``."""
        ...

    @property
    def threads(self) -> int:
        """How many it computes with; not those asked for, where the runtime has no choice."""
        ...

    @property
    def load_seconds(self) -> float:
        """From the artifact's files to being ready to answer, the runtime itself being there already."""
        ...

    @property
    def memory(self) -> PeakMemory:
        """Of the process that computes, since before the artifact was loaded."""
        ...

    def time(self, inputs: Arrays, calls: int) -> list[float]:
        """Seconds of each call. The inputs are converted to what the artifact stores before, the outputs are left as stored.

        Raises:
            ModelError: the runtime cannot run it.
        """
        ...


def timed(call: Callable[[], object], calls: int) -> list[float]:
    """Seconds of each of so many calls, one after the other."""
    seconds = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(calls):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
    finally:
        if collecting:
            gc.enable()
    return seconds


class PeakMemory:
    """How far the resident memory of a process rises above what it is now.

    Linux keeps the highest value (VmHWM of /proc/PID/status) and forgets it on request, so nothing that the process held
    before this object was made counts, and pages of files that it maps do.

    Args:
        pid: of a process of this user; its own, unless told otherwise.
    """

    def __init__(self, pid: int | None = None) -> None:
        self._folder = Path("/proc", "self" if pid is None else str(pid))
        if pid is None:
            _release()
        try:
            (self._folder / "clear_refs").write_text("5")  # the highest value so far becomes the present one
        except OSError:
            self._before = None  # not Linux, or a container that forbids it
        else:
            self._before = self._highest()

    @property
    def bytes(self) -> int | None:
        """The rise until now; None where the system does not tell."""
        return None if self._before is None else max(0, self._highest() - self._before)

    def _highest(self) -> int:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", (self._folder / "status").read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else 0


def _release() -> None:
    """Give memory that is free back to the system, so that what is loaded next cannot hide in it."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of the GNU C library
    if trim is not None:
        trim(0)
