"""A process of its own for work that needs a framework.

The parent (``run``) starts ``python -m edgepack.worker``, hands it a function and frozen values, draws the events that
come back, and returns the result or raises the error. The worker's own stdout and stderr go to a log file: frameworks
are noisy, in C++ too. When the parent dies, however it dies, so does the worker.
"""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar, cast

from .errors import EdgepackError, InternalError, UsageError
from .events import Event, Listener, listening

T = TypeVar("T")

LOG_TAIL = 4000

_alive: set[subprocess.Popen[bytes]] = set()


def run(
    function: Callable[..., T],
    *args: object,
    env: Mapping[str, str],
    listener: Listener,
    scratch: tuple[Path, ...] = (),
    debug: bool = False,
) -> T:
    """Call ``function(*args)`` in a fresh process and return what it returns.

    Args:
        function: importable by name; its arguments and result can be pickled.
        env: added to the environment before anything is imported.
        scratch: folders that the worker removes when its parent dies; alive, the parent removes them itself.
        debug: let the worker's output, stdout too, through to stderr.

    Raises:
        EdgepackError: the one that the function raised; InternalError for anything else, or when the worker died.
    """
    down_read, down_write = os.pipe()
    up_read, up_write = os.pipe()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            # -P: the current folder is data, not a place to import from
            [sys.executable, "-P", "-m", "edgepack.worker", str(down_read), str(up_write)],
            env={**os.environ, **env},
            pass_fds=(down_read, up_write),
            stdin=subprocess.DEVNULL,
            stdout=2 if debug else log,  # stderr: our own stdout is for the result alone
            stderr=None if debug else log,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which then ends the worker
        )
        _alive.add(process)
        os.close(down_read)
        os.close(up_write)
        with Connection(down_write, readable=False) as down, Connection(up_read, writable=False) as up:
            try:
                down.send((function, args, scratch))
                return cast(T, _listen(up, listener))
            except (EOFError, BrokenPipeError):
                raise _death(process, _tail(log)) from None
            finally:
                _end(process)
                _alive.discard(process)


def end_all() -> None:
    """End every worker, whichever thread waits for it; each ``run`` then raises InternalError."""
    for process in list(_alive):
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


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


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
    function, args, scratch = down.recv()
    threading.Thread(target=_die_with_parent, args=(down, scratch), daemon=True).start()
    sending = threading.Lock()

    def send(kind: str, value: object) -> None:
        with sending:
            up.send((kind, value))

    def tell(event: Event) -> None:
        send("event", event)

    try:
        with listening(tell):
            result = function(*args)
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
        send("result", result)


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


def _die_with_parent(down: Connection, scratch: tuple[Path, ...]) -> None:
    try:
        down.recv()  # nothing more is ever sent: this returns when the other end is gone
    except (EOFError, OSError, pickle.UnpicklingError):
        for folder in scratch:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)


if __name__ == "__main__":
    _work(Connection(int(sys.argv[1]), writable=False), Connection(int(sys.argv[2]), readable=False))
    # Frameworks take seconds to tear down, and some crash on the way; all that matters is on disk by now.
    sys.stdout.flush()
    os._exit(0)
