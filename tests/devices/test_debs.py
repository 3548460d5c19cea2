"""Package files are unpacked by what deb(5) says, and write nowhere but into their folder."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepack.devices.setup.debs import unpack
from edgepack.errors import MissingToolError

Pack = Callable[..., Path]


def member(name: str, data: bytes) -> bytes:
    """Of an ar archive."""
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n"
    return header.encode() + data + b"\n" * (len(data) % 2)


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """A package with these entries: a path, and text, or a link to where an entry ``-> TARGET`` says."""

    def make(
        *entries: tuple[str, str], mode: int = 0o644, packing: str = "xz", kind: bytes = tarfile.SYMTYPE
    ) -> Path:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode=f"w:{packing}") as archive:
            for name, text in entries:
                info = tarfile.TarInfo(name)
                info.mode = mode
                if text.startswith("-> "):
                    info.type, info.linkname = kind, text[3:]
                    archive.addfile(info)
                else:
                    info.size = len(text)
                    archive.addfile(info, io.BytesIO(text.encode()))
        deb = tmp_path / "some_1_all.deb"
        parts = (
            member("debian-binary", b"2.0\n"),
            member("control.tar.xz", b"odd"),
            member(f"data.tar.{packing}", packed.getvalue()),
        )
        deb.write_bytes(b"!<arch>\n" + b"".join(parts))
        return deb

    return make


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def every(path: str) -> bool:
    return True


@pytest.mark.parametrize("packing", ["xz", "gz"])
def test_files_and_links_arrive(pack: Pack, root: Path, packing: str) -> None:
    deb = pack(("./usr/lib/a.so.1", "library"), ("./usr/lib/a.so", "-> a.so.1"), packing=packing)
    unpack(deb, root, every)
    assert (root / "usr/lib/a.so").read_text() == "library"
    assert (root / "usr/lib/a.so").is_symlink()


def test_programs_can_be_run_and_nothing_is_setuid(pack: Pack, root: Path) -> None:
    unpack(pack(("usr/bin/su", "#!"), mode=0o4755), root, every)
    assert (root / "usr/bin/su").stat().st_mode & 0o7777 == 0o755


def test_an_absolute_link_stays_inside(pack: Pack, root: Path) -> None:
    unpack(pack(("etc/conf", "ours"), ("usr/lib/conf", "-> /etc/conf")), root, every)
    assert (root / "usr/lib/conf").read_text() == "ours"


def test_a_hard_link_is_the_file(pack: Pack, root: Path) -> None:
    unpack(pack(("usr/bin/a", "same"), ("usr/bin/b", "-> ./usr/bin/a"), kind=tarfile.LNKTYPE), root, every)
    assert (root / "usr/bin/b").read_text() == "same"


def test_only_what_is_wanted_is_unpacked_and_no_more_is_looked_at(pack: Pack, root: Path) -> None:
    deb = pack(("usr/bin/a", "a"), ("usr/share/doc", "words"), ("usr/bin/b", "b"), ("../evil", "x"))
    unpack(deb, root, lambda path: "share" not in path, 2)
    assert sorted(path.name for path in root.rglob("*") if path.is_file()) == ["a", "b"]


@pytest.mark.parametrize(
    "entries",
    [
        [("../evil", "x")],
        [("/evil", "x")],
        [("usr/a", "-> ../../evil")],
        [("usr", "-> /other"), ("usr/evil", "x")],
        [("a/b", "-> ."), ("a/b/c", "x")],
    ],
    ids=["up", "absolute", "link up", "through a link", "through a link to itself"],
)
def test_what_would_be_written_elsewhere_is_refused(
    pack: Pack, root: Path, entries: list[tuple[str, str]]
) -> None:
    with pytest.raises(MissingToolError, match="cannot be unpacked"):
        unpack(pack(*entries), root, every)
    assert not list(root.parent.rglob("evil"))


def test_a_hard_link_to_elsewhere_is_refused(pack: Pack, root: Path) -> None:
    with pytest.raises(MissingToolError, match="is outside of it"):
        unpack(pack(("usr/a", "-> ../../some_1_all.deb"), kind=tarfile.LNKTYPE), root, every)


@pytest.mark.parametrize("keep", [3, 100, 150, 220])
def test_half_a_package_is_refused(pack: Pack, root: Path, keep: int) -> None:
    deb = pack(("usr/bin/a", "a" * 10_000))
    deb.write_bytes(deb.read_bytes()[:keep])
    with pytest.raises(MissingToolError, match=r"some_1_all.deb cannot be unpacked"):
        unpack(deb, root, every)
