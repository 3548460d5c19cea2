"""Packages come by apt-get with a state of its own; what it will not vouch for does not come."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepack.devices.setup import debian
from edgepack.errors import MissingToolError

Sources = Callable[[str], None]


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    """Give apt this file of sources in place of the machine's."""

    def write(text: str) -> None:
        (tmp_path / "sources.list").write_text(text)
        (tmp_path / "apt.conf").write_text(
            f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
            f'Acquire::Retries "0";\nAPT::Update::Post-Invoke {{ "touch {tmp_path}/hooked"; }};\n'
        )
        monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))

    return write


def test_without_network_it_says_what_could_not_be_fetched_from_where(
    tmp_path: Path, sources: Sources
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens there
        mirror = f"http://127.0.0.1:{unused.getsockname()[1]}/debian"
        sources(f"deb {mirror} bookworm main\n")
        with pytest.raises(MissingToolError, match=f"could not fetch libc6 from {mirror}") as caught:
            debian.download(("libc6",), "bookworm", "arm64", tmp_path / "work")
    assert "install again" in caught.value.hint
    assert "Could not connect" in caught.value.details or "Connection failed" in caught.value.details


def repository(folder: Path) -> str:
    """The URI of a mirror with one package, which nobody has signed."""
    packages = folder / "dists/bookworm/main/binary-arm64"
    packages.mkdir(parents=True)
    (folder / "some_1_arm64.deb").write_bytes(b"!<arch>\n")
    digest = subprocess.run(
        ["sha256sum", folder / "some_1_arm64.deb"], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    (packages / "Packages").write_text(
        "Package: some\nVersion: 1\nArchitecture: arm64\nMaintainer: none\nDescription: none\n"
        f"Filename: some_1_arm64.deb\nSize: 8\nSHA256: {digest}\n"
    )
    digest = subprocess.run(
        ["sha256sum", packages / "Packages"], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    size = (packages / "Packages").stat().st_size
    (folder / "dists/bookworm/Release").write_text(
        "Suite: bookworm\nCodename: bookworm\nArchitectures: arm64\nComponents: main\n"
        f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {digest} {size} main/binary-arm64/Packages\n"
    )
    return f"copy:{folder}"


def test_a_mirror_that_nobody_signed_is_refused_even_where_the_machine_trusts_it(
    tmp_path: Path, sources: Sources
) -> None:
    sources(f"deb [trusted=yes] {repository(tmp_path / 'debian')} bookworm main\n")
    with pytest.raises(MissingToolError, match="could not fetch some") as caught:
        debian.download(("some",), "bookworm", "arm64", tmp_path / "work")
    assert "is not signed" in caught.value.details
    assert not list(tmp_path.joinpath("work").rglob("*.deb"))


def test_the_machines_hooks_do_not_run(tmp_path: Path, sources: Sources) -> None:
    sources(f"deb {repository(tmp_path / 'debian')} bookworm main\n")
    with pytest.raises(MissingToolError):
        debian.download(("some",), "bookworm", "arm64", tmp_path / "work")
    assert not (tmp_path / "hooked").exists()


def test_a_machine_without_apt_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="apt-get is not on this machine") as caught:
        debian.download(("libc6",), "bookworm", "arm64", tmp_path / "work")
    assert "Debian machine or container" in caught.value.hint


def test_a_file_tells_its_package_and_version() -> None:
    assert debian.version(Path("qemu-user_1%3a10.0.2+ds-2_amd64.deb")) == "qemu-user 1:10.0.2+ds-2"
