"""How a driver ended, in words: why this device cannot run this bundle, and what to do."""

from __future__ import annotations

import re
import signal

from ..errors import ModelError

LOADING, RUNNING = 3, 4
"""The exit codes of a driver that knows what is wrong."""

STARVED = ("MemoryError", "std::bad_alloc", "Cannot allocate memory", "out of memory")


def ending(code: int, said: str, processor: str) -> ModelError:
    """The error for a driver that ended too early.

    Args:
        code: its exit code; negative for the signal that ended it.
        said: the last of its stderr.
        processor: what ran it: "a cortex-a53".
    """
    number = _signal(code, said)
    if code in (LOADING, RUNNING) and not number:
        return _told("load" if code == LOADING else "run", said)
    if number == signal.SIGILL:
        return ModelError(
            f"The runtime uses instructions that {processor} lacks.",
            "Such a device needs another build of the runtime, or an older version of it.",
            said,
        )
    if number == signal.SIGKILL or any(word in said for word in STARVED):
        return ModelError(
            "The runtime was killed or gave up, most likely for want of memory.",
            "A smaller model or input takes less; or free memory, and try again.",
            said,
        )
    if number:
        return ModelError(
            f"The runtime crashed there ({signal.Signals(number).name}).",
            "Try another --precision; if --device host passes, report it to the runtime's authors.",
            said,
        )
    return ModelError(f"The driver ended unexpectedly (exit code {code}).", "", said)


def _told(doing: str, said: str) -> ModelError:
    reasons, hints = (
        [line.removeprefix(each) for line in said.splitlines() if line.startswith(each)]
        for each in ("error: ", "hint: ")
    )
    return ModelError(
        reasons[-1] if reasons else f"The runtime there cannot {doing} the artifact.",
        hints[-1] if hints else "If it names an op, replace it in the model, or choose another --precision.",
        said,
    )


def _signal(code: int, said: str) -> int:
    """The signal that ended it; an emulator may tell only in words that it was one."""
    found = re.search(r"uncaught target signal (\d+)", said)
    number = -code if code < 0 else int(found[1]) if found else 0
    return number if number in set(signal.Signals) else 0
