"""The Debian mirror of a machine is told by its own apt sources, in both of their forms."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgepack.devices.setup import mirrors
from edgepack.devices.setup.mirrors import Mirror, Source, mirror, read
from edgepack.errors import MissingToolError

LINES = """
# deb http://old.example/debian bookworm main
deb http://deb.example/debian bookworm main contrib  # the usual
deb-src http://deb.example/debian bookworm main
deb [arch=amd64 signed-by=/keys/debian.gpg] http://deb.example/debian bookworm-updates main
deb http://flat.example/ ./
"""
STANZAS = """\
Types: deb deb-src
# as installed
URIs: http://deb.example/debian
Suites: trixie trixie-updates
Components: main
 non-free-firmware
Signed-By: /keys/debian.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main

types: deb
uris: http://vendor.example
suites: trixie
components: main
signed-by:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a machine's apt sources: ``sources.list`` and ``parts/``; apt itself is told of it."""
    (tmp_path / "parts").mkdir()
    configuration = tmp_path / "apt.conf"
    configuration.write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "{tmp_path}/parts";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(configuration))
    monkeypatch.setattr(mirrors, "KEYRING", tmp_path / "keyring")
    return tmp_path


def test_lines_and_stanzas_are_read(machine: Path) -> None:
    (machine / "sources.list").write_text(LINES)
    (machine / "parts/debian.sources").write_text(STANZAS)
    (machine / "parts/debian.sources.bak").write_text(STANZAS)
    assert read(machine / "sources.list", machine / "parts") == (
        Source("http://deb.example/debian", "bookworm", ("main", "contrib")),
        Source("http://deb.example/debian", "bookworm-updates", ("main",), "/keys/debian.gpg"),
        Source("http://deb.example/debian", "trixie", ("main", "non-free-firmware"), "/keys/debian.gpg"),
        Source("http://deb.example/debian", "trixie-updates", ("main", "non-free-firmware"), "/keys/debian.gpg"),
        Source("http://vendor.example", "trixie", ("main",)),
    )  # fmt: skip


def test_the_mirror_is_that_of_debian_and_no_vendor_with_a_suite_of_that_name(machine: Path) -> None:
    (machine / "sources.list").write_text("deb http://vendor.example bookworm main\n")
    (machine / "parts/debian.sources").write_text(STANZAS)
    assert mirror() == Mirror("http://deb.example/debian", "trixie", "/keys/debian.gpg")


def test_any_suite_of_the_mirror_can_be_asked_for_and_its_signature_counts(machine: Path) -> None:
    (machine / "sources.list").write_text("deb [trusted=yes] http://deb.example/debian bookworm main\n")
    assert mirror().line("bookworm-backports") == "deb http://deb.example/debian bookworm-backports main"
    (machine / "keyring").touch()
    signed = f"deb [signed-by={machine}/keyring] http://deb.example/debian bookworm main"
    assert mirror().line("bookworm") == signed


@pytest.mark.parametrize("text", ["", "deb http://archive.example/ubuntu noble main universe\n"])
def test_a_machine_without_debian_says_so(machine: Path, text: str) -> None:
    (machine / "sources.list").write_text(text)
    with pytest.raises(MissingToolError, match="is a release of Debian") as caught:
        mirror()
    assert "Debian machine or container" in caught.value.hint


def test_a_machine_without_apt_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("apt-config") is None
    with pytest.raises(MissingToolError, match="apt-config does not start") as caught:
        mirror()
    assert "Debian machine or container" in caught.value.hint
