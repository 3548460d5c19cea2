"""A display that nobody sees: Xvfb, found on this machine."""

from __future__ import annotations

import os
import secrets
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from ...errors import MissingToolError
from .leash import Leashed

PROGRAM = "Xvfb"
INSTALL = "Install Xvfb from your system's packages (Debian: apt-get install xvfb)."
START = 60.0
"""How long it may take to start, in seconds."""

ANY_DISPLAY = 0xFFFF
"""The family of an entry in an Xauthority file that is for every display."""


class XvfbTool:
    """The display (see edgepack.target.Tool)."""

    name = "xvfb"

    def verify(self) -> str:
        """That it starts, in a word: it has no option that tells its version."""
        with tempfile.TemporaryDirectory() as home, display(Path(home), os.environ):
            return "starts"

    def program(self) -> str:
        """Where it is. Raises MissingToolError."""
        found = shutil.which(PROGRAM)
        if found is None:
            raise MissingToolError("This device needs the display Xvfb, which is not installed.", INSTALL)
        return found


@contextmanager
def display(folder: Path, env: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """A display while the context lasts; gives what the environment of its programs must have.

    Args:
        folder: where the display's key lies: the other users of this machine have no business there.
        env: the environment of Xvfb itself.

    Raises:
        MissingToolError: there is no Xvfb, or it does not start.
    """
    key = folder / "Xauthority"
    key.touch(mode=0o600)
    key.write_bytes(_entry(b"MIT-MAGIC-COOKIE-1", secrets.token_bytes(16)))
    # it chooses a number that is free, and writes it to its stdout when it is ready
    flags = ["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp", "-auth", str(key)]
    with closing(Leashed([XvfbTool().program(), *flags], env)) as server:
        number = server.says(r"^(\d+)$", START)
        if number is None:
            raise MissingToolError(f"{PROGRAM} does not start.", INSTALL, server.said[-2000:])
        yield {"DISPLAY": f":{number[1]}", "XAUTHORITY": str(key)}


def _entry(*name_and_data: bytes) -> bytes:
    """Of an Xauthority file: a family, then address, display number, name and data, each after its length."""
    texts = (b"", b"", *name_and_data)
    return struct.pack(">H", ANY_DISPLAY) + b"".join(struct.pack(">H", len(each)) + each for each in texts)
