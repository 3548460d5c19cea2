"""The Debian mirror of this machine, from its own apt sources: files of lines (.list) and of stanzas (.sources)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import MissingToolError
from . import errand

RELEASES = (
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldstable",
    "stable",
    "testing",
    "unstable",
)
"""What a suite of Debian is called; those of others may be too, but see ``mirror``."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

NOT_DEBIAN = "Emulated devices are made of Debian's packages: use a Debian machine or container."


@dataclass(frozen=True)
class Source:
    """A suite of a repository.

    Attributes:
        key: the file of the keys that sign it; empty where apt knows them.
    """

    uri: str
    suite: str
    components: tuple[str, ...]
    key: str = ""


@dataclass(frozen=True)
class Mirror:
    """Where this machine gets Debian.

    Attributes:
        release: the machine's own.
        key: see Source.
    """

    uri: str
    release: str
    key: str

    def line(self, suite: str) -> str:
        """A line for a sources.list, with another suite of the mirror. Its signature is checked, whatever the machine's says."""
        signed = f"[signed-by={self.key}] " if self.key else ""
        return f"deb {signed}{self.uri} {suite} main"


def mirror() -> Mirror:
    """Raises MissingToolError: there is no apt here, or none of its sources is Debian's."""
    hint = NOT_DEBIAN
    found = errand.run(
        ("apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"),
        "apt-config does not tell where the sources of this machine are",
        hint,
    )
    places = dict(word.split("=", 1) for word in shlex.split(found))
    sources = read(Path(places["LIST"]), Path(places["PARTS"]))
    chosen = _debian(sources)
    if chosen is None:
        raise MissingToolError("None of this machine's apt sources is a release of Debian.", hint)
    return Mirror(chosen.uri, chosen.suite, chosen.key or (str(KEYRING) if KEYRING.is_file() else ""))


def read(listed: Path, parts: Path) -> tuple[Source, ...]:
    """The sources of binary packages in a file of lines and in a folder of files."""
    files = sorted(parts.iterdir()) if parts.is_dir() else []
    found: list[Source] = []
    for path in (listed, *files):
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".sources":
            found += _stanzas(text)
        elif path.suffix == ".list":
            found += _lines(text)
    return tuple(found)


def _debian(sources: Sequence[Source]) -> Source | None:
    """Other repositories too have a suite called bookworm with a component main; Debian's comes with its updates, as a rule."""
    suites = {(source.uri, source.suite) for source in sources}
    fitting = [each for each in sources if each.suite in RELEASES and "main" in each.components]
    return min(
        fitting,
        key=lambda each: (
            (each.uri, f"{each.suite}-updates") not in suites,
            not each.uri.rstrip("/").endswith("/debian"),
        ),
        default=None,
    )


def _lines(text: str) -> Iterator[Source]:
    """``deb [options] URI SUITE COMPONENT...``"""
    for line in text.splitlines():
        found = re.match(r"deb\s+(?:\[(.*?)\]\s+)?(\S+)\s+(\S+)\s+(.+)", line.partition("#")[0].strip())
        if found:
            options, uri, suite, components = found.groups()
            key = re.search(r"(?:^|\s)signed-by=(/\S+)", options or "")
            yield Source(uri, suite, tuple(components.split()), key[1] if key else "")


def _stanzas(text: str) -> Iterator[Source]:
    for stanza in re.split(r"\n\s*\n", "\n".join(each for each in text.splitlines() if each[:1] != "#")):
        fields = {
            name.lower(): " ".join(value.split())
            for name, value in re.findall(r"^([\w-]+):((?:.*)(?:\n[ \t].*)*)", stanza, re.MULTILINE)
        }
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in (
            "no",
            "false",
        ):
            continue
        key = fields.get("signed-by", "")
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(
                    uri, suite, tuple(fields.get("components", "").split()), key if key[:1] == "/" else ""
                )
