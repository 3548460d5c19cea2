"""Programs of many processes, browsers above all, that must not outlive this process.

Such a program runs under a leash: this file, as a script, in a process group of its own. It holds one end of a pipe and
ends the whole group when the other end is let go of, which happens however the process that holds it dies.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO

GRACE = 1.0
"""How long the program has to tidy up when it is told to end, in seconds; then it is killed."""

TAIL = 4000
"""How many bytes of what it says are kept."""

LAST = 30.0
"""How long to wait for the last process of a group to go, in seconds; nothing but the system itself can hold it up."""


class Leashed:
    """A program that runs, and all processes that it started.

    Args:
        env: all of its environment.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__, *command],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._said, self._ended = b"", False
        self._heard = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def said(self) -> str:
        """The end of what it wrote to stdout and stderr."""
        return self._said.decode(errors="replace").strip()

    def says(self, pattern: str, timeout: float) -> re.Match[str] | None:
        """Wait until it has written what the pattern finds; None where it ended, or the time did, before that."""

        def found() -> re.Match[str] | None:
            return re.search(pattern, self.said, re.MULTILINE)

        with self._heard:
            self._heard.wait_for(lambda: found() or self._ended, timeout)
        return found()

    def wait(self) -> None:
        """Until it has ended."""
        self._process.wait()

    def kill(self) -> None:
        """Let it end; can be called from another thread, and again."""
        _pipe(self._process.stdin).close()

    def close(self) -> None:
        """End it, and wait until the last process that it started has gone: they all hold its output."""
        self.kill()
        self._process.wait()
        self._listener.join(LAST)

    def _listen(self) -> None:
        with _pipe(self._process.stdout) as output:
            while data := os.read(output.fileno(), 1 << 16):
                with self._heard:
                    self._said = (self._said + data)[-TAIL:]
                    self._heard.notify_all()
        with self._heard:
            self._ended = True
            self._heard.notify_all()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # Popen was asked for it
    return pipe


def _hold(command: Sequence[str]) -> None:
    """Run the command in this process group until it ends, or until stdin does; then end the group."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def follow() -> None:
        child.wait()
        os.killpg(0, signal.SIGKILL)

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=follow, daemon=True).start()
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGTERM)
    threading.Event().wait(GRACE)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    _hold(sys.argv[1:])
