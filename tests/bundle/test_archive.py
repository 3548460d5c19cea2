"""A bundle as a .zip, from a stranger: unpacked within bounds into a folder that goes again, or refused by name."""

from __future__ import annotations

import stat
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_bundle import everything, write, zipped

from edgepack.bundle import archive
from edgepack.bundle.reader import opened
from edgepack.bundle.writer import write_zip
from edgepack.errors import UsageError


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever happens: nothing is written but into a temporary folder, and that goes."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "sentinel").write_text("untouched")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    yield
    assert list((tmp_path / "tmp").iterdir()) == []
    assert (tmp_path / "sentinel").read_text() == "untouched"
    assert {path.name for path in tmp_path.iterdir()} <= {"tmp", "sentinel", "it", "it.zip"}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write(tmp_path / "it")


@pytest.fixture
def packed(bundle: Path) -> Path:
    return zipped(bundle, bundle.with_suffix(".zip"))


def refused(path: Path) -> str:
    with pytest.raises(UsageError) as caught, opened(path):
        pass
    assert "it.zip cannot be read" in caught.value.message or "manifest.json" in caught.value.message
    assert caught.value.message.isprintable()
    return caught.value.message


def add(path: Path, name: str, data: bytes = b"", mode: int = 0, **flags: int) -> None:
    """One more entry, that zipfile writes as it is told."""
    info = zipfile.ZipInfo(name)
    info.filename = name  # zipfile would cut and turn some
    info.external_attr = mode << 16
    info.compress_type = flags.get("compress_type", zipfile.ZIP_DEFLATED)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as file:
        warnings.simplefilter("ignore")  # that two have one name
        file.writestr(info, data)


def patch(path: Path, offset: int, layout: str, value: int) -> None:
    """Another value in every entry of the zip's directory (APPNOTE 4.3.12)."""
    data, at = bytearray(path.read_bytes()), 0
    while (at := data.find(b"PK\1\2", at)) >= 0:
        struct.pack_into(layout, data, at + offset, value)
        at += 4
    path.write_bytes(data)


@pytest.mark.parametrize("around", ["it/", "another name/", ""])
def test_it_is_read_like_the_folder_whoever_packed_it(bundle: Path, around: str) -> None:
    path = zipped(bundle, bundle.with_suffix(".zip"), around)
    with opened(path) as found:
        assert found.given == path
        before, after = everything(bundle), everything(found.folder)
        assert list(before.values()) == list(after.values())
        assert not (found.folder / "kit/python/use.py").stat().st_mode & 0o111  # nothing is made executable


def test_edgepacks_own_zip_is_read(bundle: Path) -> None:
    with opened(write_zip(bundle, bundle.with_suffix(".zip")).rename(bundle.with_suffix(".zip"))) as found:
        assert found.manifest.bundle_name == "it-1.0-fake-int8"


def test_what_file_managers_add_is_not_unpacked(packed: Path) -> None:
    for name in ("__MACOSX/it/._model.bin", "it/.DS_Store", "it/kit/python/__pycache__/use.pyc"):
        add(packed, name, b"x")
    with opened(packed) as found:
        names = " ".join(everything(found.folder))
        assert "__MACOSX" not in names
        assert "__pycache__" not in names
        assert "DS_Store" not in names


def test_a_folder_is_given_as_it_is(bundle: Path) -> None:
    with opened(bundle) as found:
        assert found.folder == found.given == bundle


@pytest.mark.parametrize(
    "name",
    [
        "../sentinel", "it/../../sentinel", "/etc/evil", "C:/evil", "it\\..\\..\\sentinel", "it//evil", "it/./evil", "it/evil.",
        "it/a\nb", "it/a:b", "it/\x1b[2J", "./it/evil", "it/\u202eevil", "x" * 300, "it/" + "a/" * 600 + "b",
    ],
)  # fmt: skip
def test_nothing_is_written_outside(packed: Path, name: str) -> None:
    add(packed, name, b"evil")
    assert "would be written outside of its folder" in refused(packed)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_devices_are_refused(packed: Path, kind: int) -> None:
    add(packed, "it/link", b"/etc/passwd", mode=kind | 0o777)
    assert "'it/link' is a link or a device" in refused(packed)


def test_two_entries_of_one_name_are_refused(packed: Path) -> None:
    add(packed, "it/model.bin", b"other")
    assert "it has 'it/model.bin' twice" in refused(packed)


@pytest.mark.parametrize("name", ["it/MODEL.bin", "it/model.bin/inside", "it/Golden"])
def test_two_entries_that_would_be_one_file_are_refused(packed: Path, name: str) -> None:
    add(packed, name, b"other")
    assert "two of its entries would be one file" in refused(packed)


@pytest.mark.parametrize("name", ["beside.txt", "other/manifest.json"])
def test_a_zip_of_more_than_a_bundle_is_refused(packed: Path, name: str) -> None:
    add(packed, name, b"{}")
    assert "it holds no bundle" in refused(packed)


def test_a_zip_in_a_zip_is_a_file_that_nobody_listed(packed: Path) -> None:
    add(packed, "it/inner.zip", packed.read_bytes())
    assert "'inner.zip' lies in the bundle, but manifest.json does not list it" in refused(packed)


def test_an_encrypted_entry_is_refused(packed: Path) -> None:
    patch(packed, 8, "<H", 1)
    assert "is encrypted" in refused(packed)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_unusual_compression_is_refused(packed: Path, method: int) -> None:
    add(packed, "it/added", b"x" * 1000, compress_type=method)
    assert "is packed in an unusual way" in refused(packed)


def test_a_bomb_is_refused_before_it_goes_off(bundle: Path, packed: Path) -> None:
    add(packed, "it/zeros", bytes(30_000_000))
    assert packed.stat().st_size < 50_000
    assert "it claims 300" in refused(packed)


@pytest.mark.parametrize("claim", [0, 5, 2**31, 2**32 - 2])
def test_a_file_has_the_size_that_it_claims(packed: Path, claim: int) -> None:
    patch(packed, 24, "<I", claim)
    assert refused(packed)


@pytest.mark.parametrize("claim", [0, 5, 300])
def test_a_false_claim_within_bounds_is_found_out(packed: Path, claim: int) -> None:
    add(packed, "it/added", b"x" * 100)
    data = packed.read_bytes()
    at = data.rfind(b"PK\1\2")
    packed.write_bytes(data[: at + 24] + struct.pack("<I", claim) + data[at + 28 :])
    assert "it/added" in refused(packed)


def test_entries_that_share_bytes_are_refused(packed: Path) -> None:
    """One kernel of zeros, and a directory that names it again and again."""
    patch(packed, 42, "<I", 0)
    assert "lies on top of another entry" in refused(packed)


def test_an_entry_that_reaches_into_the_directory_is_refused(packed: Path) -> None:
    data = bytearray(packed.read_bytes())
    at = data.rfind(b"PK\1\2")
    struct.pack_into("<I", data, at + 20, 10_000)
    packed.write_bytes(data)
    assert "lies on top of the directory" in refused(packed)


def test_too_many_entries_are_refused(packed: Path) -> None:
    with zipfile.ZipFile(packed, "a") as file:
        for number in range(10_001):
            file.writestr(f"it/{number}", b"")
    assert "more than a bundle has" in refused(packed)


def test_a_directory_that_would_fill_the_memory_is_not_read(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_LISTING", 100)
    assert "its directory is too large" in refused(packed)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: b"no zip",
        lambda data: data[:-1],
        lambda data: data[len(data) // 2 :],
        lambda data: data.replace(b"manifest.json", b"manifest_json"),
        lambda data: data.replace(b"PK\3\4", b"PK\3\5"),
    ],
    ids=["empty", "text", "cut", "half", "no manifest", "no entries"],
)
def test_what_is_no_zip_of_a_bundle_is_refused(packed: Path, change: Callable[[bytes], bytes]) -> None:
    packed.write_bytes(change(packed.read_bytes()))
    assert refused(packed)


def test_a_zip_of_nothing_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "it.zip", "w"):
        pass
    assert "it holds no bundle" in refused(tmp_path / "it.zip")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no"), opened(tmp_path / "nothing"):
        pass


def test_a_full_disk_is_said(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Iterator[bytes]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive.Member, "chunks", full)
    assert "No space left on device" in refused(packed)


def test_what_goes_wrong_while_a_bundle_is_used_passes_and_the_folder_goes(packed: Path) -> None:
    with pytest.raises(ZeroDivisionError), opened(packed):
        raise ZeroDivisionError
