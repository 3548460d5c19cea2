"""Debian's packages by apt-get, with a state of its own: as any user, of any architecture, nothing of the machine's touched."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ...errors import MissingToolError
from . import errand
from .mirrors import NOT_DEBIAN, mirror

HINT = "It is needed once; what was fetched is kept. Look at apt-get's words, mend the network or the machine's apt sources, and install again."


def download(packages: Sequence[str], suite: str, architecture: str, work: Path) -> tuple[Path, ...]:
    """The packages and all that they depend on, as .deb files; apt checks every signature and hash.

    Args:
        suite: of the machine's own mirror, whether its sources name it or not.
        architecture: Debian's name of it; empty for this machine's.
        work: a folder for apt's state; what an earlier call fetched into it is not fetched again.

    Raises:
        MissingToolError: this is no Debian, or the mirror cannot be reached or has no such package.
    """
    if shutil.which("apt-get") is None:
        raise MissingToolError("apt-get is not on this machine.", NOT_DEBIAN)
    there = mirror()
    archives, lists = work / "cache" / "archives", work / "state" / "lists"
    for folder in (archives / "partial", lists / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    (work / "state" / "status").touch()  # nothing is installed: so dependencies come along, all of them
    (work / "sources.list").write_text(there.line(suite) + "\n", encoding="utf-8")
    (work / "apt.conf").write_text(_configuration(work, architecture), encoding="utf-8")
    # autoclean: versions that an earlier try fetched, and that the mirror has no more
    for verb in (("update",), ("autoclean",), ("install", "--yes", "--download-only", *packages)):
        errand.run(
            ("apt-get", "-c", work / "apt.conf", "--quiet", *verb),
            f"apt-get could not fetch {', '.join(packages)} from {there.uri}",
            HINT,
            {"LC_ALL": "C.UTF-8"},
        )
    return tuple(sorted(archives.glob("*.deb")))


def version(deb: Path) -> str:
    """``name version`` of a file that apt fetched."""
    name, number, _ = deb.name.split("_")
    return f"{name} {number.replace('%3a', ':')}"


def _configuration(work: Path, architecture: str) -> str:
    """Read after the machine's own, which keeps its proxies and passwords but whose hooks and pins do not count here."""
    lines = [
        f'Dir::State "{work}/state";',
        f'Dir::State::status "{work}/state/status";',
        f'Dir::Cache "{work}/cache";',
        f'Dir::Log "{work}";',
        f'Dir::Etc::sourcelist "{work}/sources.list";',
        'Dir::Etc::sourceparts "/dev/null";',
        'Dir::Etc::preferences "/dev/null";',
        'Dir::Etc::preferencesparts "/dev/null";',
        "#clear APT::Update;",
        'APT::Update::Error-Mode "any";',
        "#clear APT::Default-Release;",
        "#clear DPkg;",
        'APT::Install-Recommends "false";',
        'APT::Get::AllowUnauthenticated "false";',
        'Acquire::AllowInsecureRepositories "false";',
        'Acquire::Languages "none";',
        'Acquire::PDiffs "false";',
        'Acquire::Retries "3";',
        # apt would download as a user of its own, who may not enter this user's cache folder
        'APT::Sandbox::User "root";',
    ]
    if architecture:
        lines += [
            "#clear APT::Architectures;",
            f'APT::Architecture "{architecture}";',
            f'APT::Architectures {{ "{architecture}"; }};',
        ]
    return "\n".join(lines) + "\n"
