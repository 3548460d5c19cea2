"""Names of files in a bundle, from a stranger: what they may be, and how they are shown."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

LONGEST = 1000
LONGEST_PART = 255

LEFTOVERS = frozenset((".DS_Store", "Thumbs.db", "desktop.ini", "__pycache__", ".pytest_cache"))
"""What file managers leave in a folder that was looked at, and Python in a kit that was run. Nobody shipped it: it is never
read, run or served, and never unpacked."""


def is_inside(name: str) -> bool:
    """Whether this is the name of a file inside of a folder, on every system, in the one way there is to write it.

    Relative, parts joined by ``/``; no drive or stream (``:``), no backslash, nothing that cannot be seen.
    """
    return len(name) <= LONGEST and all(map(_is_plain, name.split("/")))


def _is_plain(part: str) -> bool:
    return (
        part.isprintable()
        and 0 < len(part.encode()) <= LONGEST_PART
        and not part.endswith((".", " "))  # "." and ".." do; Windows drops the last ones of other names
        and not set(part) & set("\\:")
    )


def same(name: str) -> str:
    """Equal for names that are one file on some system: for those that differ in case or composition alone."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def parents(name: str) -> list[str]:
    """The folders that a file lies in, within the bundle."""
    return [str(parent) for parent in PurePosixPath(name).parents][:-1]


def is_leftover(name: str) -> bool:
    """Whether a file manager or Python left this, in a folder or a zip."""
    parts = name.split("/")
    return parts[0] == "__MACOSX" or not LEFTOVERS.isdisjoint(parts)


def quoted(name: str) -> str:
    """A name to print: one line, of bearable length, nothing in it that a terminal obeys."""
    return repr(name if len(name) <= 120 else name[:120] + "…")
