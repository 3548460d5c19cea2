"""A program that runs for edgepack: it is killed with all that it started, and dies when edgepack does."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO

from ..errors import MissingToolError

TAIL = 8_000
"""How many bytes of a program's stderr are kept: the last."""

KEPT = ("PATH", "TMPDIR")
"""Of this process's environment; a program may be a Python that must not find the packages of this one."""

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Command:
    """How a program is started.

    Attributes:
        argv: the program by its full path, and the arguments.
        env: its environment.
        processor: what runs it, in words: "a cortex-a53".
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    processor: str = "this processor"


class Child:
    """A program that runs.

    Attributes:
        given: its stdin.
        answers: its stdout.
    """

    def __init__(self, command: Command) -> None:
        """Start it. Raises MissingToolError."""
        try:
            self._process = subprocess.Popen(
                command.argv,
                env={key: os.environ[key] for key in KEPT if key in os.environ} | dict(command.env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=_modestly,
            )
        except OSError as error:
            raise MissingToolError(
                f"{command.argv[0]} does not start: {error.strerror}.", "See edgepack devices."
            ) from error
        self.given: IO[bytes] = _there(self._process.stdin)
        self.answers: IO[bytes] = _there(self._process.stdout)
        self._said = _Tail(_there(self._process.stderr))

    @property
    def said(self) -> str:
        """The last that it wrote to stderr."""
        return self._said.text

    def code(self) -> int:
        """How it ended, now that it has closed its stdout: its exit code, or the signal, negative."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        self.kill()
        self._said.join(1.0)
        return self._process.wait()

    def kill(self) -> None:
        """At once, with all that it started; can be called from another thread."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill it, if there is anything left of it, and let go of it."""
        self.kill()
        self._process.wait()
        self._said.join(1.0)
        self.answers.close()
        with contextlib.suppress(BrokenPipeError):  # what it did not take any more is of no interest
            self.given.close()


class _Tail(threading.Thread):
    """Reads a pipe to its end, and keeps the last of it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._pipe, self._kept = pipe, b""
        self.start()

    def run(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), 65536):
                self._kept = (self._kept + chunk)[-TAIL:]

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace").strip()


def _modestly() -> None:
    """In the child, before the program starts: no core file when it crashes, and death when its parent dies."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _there(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # subprocess.PIPE was asked for
    return pipe
