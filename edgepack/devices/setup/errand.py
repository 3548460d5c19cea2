"""Programs that fetch or make something for edgepack: apt-get, pip, a compiler."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import MissingToolError

PATIENCE = 1800.0
"""How long one may take, in seconds: a slow line is no failure."""

TAIL = 2000


def run(command: Sequence[str | Path], what: str, hint: str, env: Mapping[str, str] | None = None) -> str:
    """What it prints. It ends, with all that it started, when this call or this process does.

    Args:
        what: what it is for: "apt-get could not fetch QEMU".
        hint: what to do when it fails.
        env: added to this process's environment.

    Raises:
        MissingToolError: it is not there, failed, or took too long.
    """
    # an orphan would go on writing where the next try writes
    tied = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()
    try:
        process = subprocess.Popen(
            [*tied, *command],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise MissingToolError(f"{command[0]} does not start: {error.strerror}.", hint) from error
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise MissingToolError(f"{what}: no answer within {PATIENCE / 60:g} minutes.", hint) from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode:
        raise MissingToolError(f"{what}.", hint, (err or out).strip()[-TAIL:])
    return out
