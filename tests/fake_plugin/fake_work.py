"""Functions for test_worker: what a worker may be given to do."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from edgepack.errors import UsageError
from edgepack.events import step, warn


def add(one: int, other: int) -> int:
    return one + other


def environment(name: str) -> str | None:
    return os.environ.get(name)


def modules() -> list[str]:
    return sorted(sys.modules)


def refuse() -> None:
    raise UsageError("the data does not fit", "mend it", "line 1\nline 2")


def stumble() -> None:
    raise ZeroDivisionError("of ours")


def missing_file() -> None:
    Path("no/such/file").read_text()


def die(how: int) -> None:
    print("last words", file=sys.stderr, flush=True)
    os.kill(os.getpid(), how)


def leave(code: int) -> None:
    os._exit(code)


def unpicklable() -> object:
    return lambda: None


def steps() -> str:
    with step("one") as one:
        warn("look")
        one.detail = "done"
    with step("two") as two:
        for _ in two.track(range(3), 3):
            time.sleep(0.11)
    return "end"


def chatter() -> str:
    print("on stdout")
    os.write(1, b"from C++\n")
    os.write(2, b"and on stderr\n")
    return "result"


class Counter:
    """Something to keep in a worker."""

    def __init__(self, start: int, pid_file: str = "") -> None:
        self.count = start
        if pid_file:
            Path(pid_file).write_text(str(os.getpid()))

    def add(self, number: int) -> int:
        self.count += number
        return self.count

    def refuse(self) -> None:
        refuse()

    def die(self) -> None:
        die(9)


def wait(pid_file: str, busy: bool) -> None:
    """Tell the own process id, then never end."""
    partial = Path(pid_file + ".partial")
    partial.write_text(str(os.getpid()))
    partial.rename(pid_file)
    warn("ready")
    while True:
        if not busy:
            time.sleep(60)
