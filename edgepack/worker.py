"""A process of its own for work that needs a framework.

The parent (``run``) starts ``python -m edgepack.worker``, hands it a function and frozen values, draws the events that
come back, and returns the result or raises the error. ``hold`` keeps the result there instead, to be asked again and
again. The worker's own stdout and stderr go to a log file: frameworks are noisy, in C++ too. When the parent dies,
however it dies, so does the worker.
"""

from __future__ import annotations

import errno
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast

from .errors import EdgepackError, InternalError, UsageError
from .events import Listener, listening

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

LOG_TAIL = 4000

_alive: set[subprocess.Popen[bytes]] = set()


def run(
    function: Callable[..., T],
    *args: object,
    env: Mapping[str, str],
    listener: Listener,
    scratch: tuple[Path, ...] = (),
    debug: bool = False,
    called_off: threading.Event | None = None,
) -> T:
    """Call ``function(*args)`` in a fresh process and return what it returns.

    Args:
        function: importable by name; its arguments and result can be pickled.
        env: added to the environment before anything is imported.
        scratch: folders that the worker removes when its parent dies; alive, the parent removes them itself.
        debug: let the worker's output, stdout too, through to stderr.
        called_off: set before ``end_all``, for workers that another thread is only about to start.

    Raises:
        EdgepackError: the one that the function raised; InternalError for anything else, or when the worker died.
    """
    with _started(env, listener, debug) as process:
        if called_off is not None and called_off.is_set():
            process.end(patience=0)
        try:
            return cast(T, process.ask(function, args, scratch, False))
        finally:
            process.end(patience=0.2)


@contextmanager
def hold(
    function: Callable[..., T],
    *args: object,
    env: Mapping[str, str],
    listener: Listener,
    scratch: tuple[Path, ...] = (),
    debug: bool = False,
) -> Iterator[Held[T]]:
    """Call ``function(*args)`` in a fresh process as ``run`` does, and keep there what it returns, for as long as the
    context lasts."""
    with _started(env, listener, debug) as process:
        process.ask(function, args, scratch, True)
        yield Held(process)


class Held(Generic[T]):
    """Something that a worker keeps."""

    def __init__(self, process: _Process) -> None:
        self._process = process

    def ask(self, function: Callable[Concatenate[T, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``function(kept, *args)`` there; ``function`` may be a method of its class. Raises as ``run`` does."""
        return cast(R, self._process.ask(function, args, kwargs))


@dataclass(frozen=True)
class _Process:
    """A worker process, seen from its parent."""

    popen: subprocess.Popen[bytes]
    down: Connection
    up: Connection
    log: Any
    listener: Listener

    def ask(self, *job: object) -> Any:
        try:
            self.down.send(job)
            return _listen(self.up, self.listener)
        except (EOFError, BrokenPipeError):
            raise _death(self.popen, _tail(self.log)) from None

    def end(self, patience: float) -> None:
        """End it and all that it started, unless it ends by itself within ``patience`` seconds."""
        if self.popen.poll() is None:
            try:
                self.popen.wait(patience)
            except subprocess.TimeoutExpired:
                os.killpg(self.popen.pid, signal.SIGKILL)
                self.popen.wait()


@contextmanager
def _started(env: Mapping[str, str], listener: Listener, debug: bool) -> Iterator[_Process]:
    down_read, down_write = os.pipe()
    up_read, up_write = os.pipe()
    with tempfile.TemporaryFile() as log:
        popen = subprocess.Popen(
            # -P: the current folder is data, not a place to import from
            [sys.executable, "-P", "-m", "edgepack.worker", str(down_read), str(up_write)],
            env={**os.environ, **env},
            pass_fds=(down_read, up_write),
            stdin=subprocess.DEVNULL,
            stdout=2 if debug else log,  # stderr: our own stdout is for the result alone
            stderr=None if debug else log,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which then ends the worker
        )
        _alive.add(popen)
        os.close(down_read)
        os.close(up_write)
        with Connection(down_write, readable=False) as down, Connection(up_read, writable=False) as up:
            process = _Process(popen, down, up, log, listener)
            try:
                yield process
            finally:
                process.end(patience=0)
                _alive.discard(popen)


def end_all() -> None:
    """End every worker, whichever thread waits for it; each ``run`` then raises InternalError."""
    for process in list(_alive):
        with suppress(ProcessLookupError):  # it has just ended
            os.killpg(process.pid, signal.SIGKILL)


def _listen(up: Connection, listener: Listener) -> Any:
    while True:
        kind, value = up.recv()
        if kind == "event":
            listener(value)
        elif kind == "error":
            raise value
        else:
            return value


def _tail(log: Any) -> str:
    log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL))
    return str(log.read().decode(errors="replace"))


def _death(process: subprocess.Popen[bytes], tail: str) -> EdgepackError:
    process.wait()
    if process.returncode == -signal.SIGKILL:
        return InternalError(
            "The worker process was killed, most likely for want of memory.", "Free memory; try again.", tail
        )
    return InternalError(
        f"The worker process ended unexpectedly (exit code {process.returncode}).",
        "Run again with --debug and report what it prints.",
        tail,
    )


def _work(down: Connection, up: Connection) -> None:
    """Do the first job, and, where its result is kept, each that follows."""
    function, args, scratch, keep = down.recv()
    jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_take_jobs, args=(down, jobs, scratch), daemon=True).start()
    sending = threading.Lock()

    def send(kind: str, value: object) -> None:
        with sending:
            up.send((kind, value))

    with listening(lambda event: send("event", event)):
        kept = _do(send, function, args, {}, keep)
        while keep:
            function, args, named = jobs.get()
            _do(send, function, (kept, *args), named, False)


def _do(
    send: Callable[[str, object], None],
    function: Callable[..., Any],
    args: tuple[object, ...],
    named: Mapping[str, object],
    keep: bool,
) -> Any:
    """Call the function; send what it returned, unless that is kept here, or why it could not."""
    try:
        result = function(*args, **named)
    except EdgepackError as error:
        send("error", error)
    except OSError as error:
        send("error", _os_error(error))
    except Exception as error:
        trace = traceback.format_exc()
        print(trace, file=sys.stderr)
        send(
            "error",
            InternalError(
                f"{type(error).__name__}: {error}",
                "This is a fault of edgepack's: report it with --debug's output.",
                trace,
            ),
        )
    else:
        send("result", None if keep else result)
        return result


def _os_error(error: OSError) -> EdgepackError:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return UsageError(
            f"The disk is full{where}.",
            "Free some space: bundles go to --out, what stages hand to each other to the cache folder (XDG_CACHE_HOME).",
        )
    return UsageError(
        f"{error.strerror or error}{where}.",
        "Check the path, its permissions and the space left on the disk.",
    )


def _take_jobs(down: Connection, jobs: queue.SimpleQueue[Any], scratch: tuple[Path, ...]) -> None:
    """Queue what the parent sends. When the other end is gone, end this process, whatever it is doing."""
    try:
        while True:
            jobs.put(down.recv())
    finally:
        for folder in scratch:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)


if __name__ == "__main__":
    _work(Connection(int(sys.argv[1]), writable=False), Connection(int(sys.argv[2]), readable=False))
    # Frameworks take seconds to tear down, and some crash on the way; all that matters is on disk by now.
    sys.stdout.flush()
    os._exit(0)
