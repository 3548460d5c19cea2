"""Bundles onto the disk: whole or not at all, the same bytes for the same content, nothing left behind."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import signal
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from edgepack.bundle import writer
from edgepack.bundle.manifest import AuditEntry, GateEntry, GoldenEntry, Manifest, SourceEntry
from edgepack.bundle.writer import publish, reserve, seal, source_sha256, write_zip
from edgepack.errors import UsageError

pytestmark = pytest.mark.usefixtures("workspace")
PLACE = Path("dist/it-1.0-fake-int8")


def manifest() -> Manifest:
    return Manifest(
        name="it", version="1.0", target="fake", precision="int8", artifact=("model.json",),
        source=SourceEntry(name="m.py:build", sha256="0" * 64), inputs=(), outputs=(),
        audit=AuditEntry(
            ops_total=0, ops_by_precision={}, tensors_by_dtype={}, bytes_by_dtype={}, float_islands=(), full_int8=True
        ),
        gate=GateEntry(expression="sqnr_db>=20", passed=True), parity={},
        golden=GoldenEntry(measured=1, shipped=1), command="edgepack build", toolchain={},
    )  # fmt: skip


def fill(folder: Path, text: str = "new") -> None:
    (folder / "kit").mkdir(parents=True)
    (folder / "model.json").write_text(text)
    (folder / "kit/use.txt").write_text(text)
    seal(folder, manifest())


def everything() -> list[str]:
    """All paths under the current folder and the cache, locks aside."""
    roots = Path(), writer.cache_dir()
    return sorted(
        str(path) for root in roots for path in root.rglob("*") if path.suffix != ".lock" and path.is_file()
    )


def test_sealing_writes_the_manifest_with_every_file(is_whole: Callable[[Path], bool]) -> None:
    fill(Path("it"))
    assert is_whole(Path("it"))
    listed = json.loads(Path("it/manifest.json").read_text())["files"]
    assert [entry["path"] for entry in listed] == ["kit/use.txt", "model.json"]
    assert listed[0] == {"path": "kit/use.txt", "sha256": hashlib.sha256(b"new").hexdigest(), "bytes": 3}


def test_a_manifest_in_a_subfolder_is_a_file_like_others() -> None:
    Path("it/kit").mkdir(parents=True)
    Path("it/kit/manifest.json").write_text("{}")
    assert [entry.path for entry in seal(Path("it"), manifest()).files] == ["kit/manifest.json"]


def test_a_place_is_published_and_left_clean(is_whole: Callable[[Path], bool]) -> None:
    with reserve(PLACE, force=False) as place:
        assert list(place.workdir.iterdir()) == list(place.staging.iterdir()) == []
        assert place.staging.parent == PLACE.parent
        (place.workdir / "big").touch()
        fill(place.staging)
        publish(place.staging, PLACE)
    assert is_whole(PLACE)
    assert PLACE.stat().st_mode & 0o777 == 0o755
    assert everything() == [f"{PLACE}/{name}" for name in ("kit/use.txt", "manifest.json", "model.json")]


def put(text: str) -> None:
    with reserve(PLACE, force=False) as place:
        fill(place.staging, text)
        publish(place.staging, PLACE)


def test_a_bundle_is_replaced_whole(is_whole: Callable[[Path], bool]) -> None:
    put("old")
    put("new")
    assert is_whole(PLACE)
    assert (PLACE / "model.json").read_text() == "new"
    assert [path.name for path in PLACE.parent.iterdir()] == [PLACE.name]


def test_what_is_not_published_leaves_nothing_not_even_the_folder() -> None:
    def fail() -> None:
        with reserve(Path("a/b/dist/it"), force=False) as place:
            (place.staging / "half").touch()
            (place.workdir / "half").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(Path().iterdir()) == []
    assert everything() == []


def test_a_folder_that_was_there_stays() -> None:
    Path("dist").mkdir()
    with reserve(PLACE, force=False):
        pass
    assert list(Path("dist").iterdir()) == []


def test_leftovers_of_a_killed_build_are_removed_and_those_of_others_are_not() -> None:
    with reserve(PLACE, force=False) as place:
        key = place.workdir.name.partition("-")[0]
    own = [
        PLACE.parent / f".{PLACE.name}.partial-abc123/half",
        writer.cache_dir() / "work" / f"{key}-old/half",
        PLACE.parent / f".{PLACE.name}.zip.partial",
    ]
    others = [
        PLACE.parent / ".other.partial-abc123/half",
        writer.cache_dir() / "work/0123456789abcdef-x/half",
    ]
    for path in own + others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with reserve(PLACE, force=False):
        assert not any(path.exists() for path in own)
    assert all(path.exists() for path in others)


def dies_at_call(number: int) -> bool:
    """Replace the bundle in a process that is killed at its n-th call; whether it got that far."""
    child = os.fork()
    if child == 0:
        calls = itertools.count(1)

        def strike(frame: FrameType, event: str, argument: object) -> None:
            if frame.f_code.co_filename in (writer.__file__, shutil.__file__) and next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(strike)
        try:
            with reserve(PLACE, force=False) as place:
                fill(place.staging, "new")
                publish(place.staging, PLACE)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_killed_at_any_call_the_place_holds_the_old_bundle_or_the_new_one(
    is_whole: Callable[[Path], bool],
) -> None:
    seen = []
    put("old")
    for number in itertools.count(1):
        if not dies_at_call(number):
            break
        assert is_whole(PLACE)
        seen.append((PLACE / "model.json").read_text())
        put("old")  # which also cleans up, so that the next one makes the same calls
    assert seen.index("new") > 50
    assert seen == ["old"] * seen.count("old") + ["new"] * seen.count("new")
    put("old")
    assert everything() == [f"{PLACE}/{name}" for name in ("kit/use.txt", "manifest.json", "model.json")]


@pytest.mark.parametrize("kind", ["file", "folder", "link", "empty folder"])
def test_what_is_no_bundle_is_replaced_only_by_force(kind: str, is_whole: Callable[[Path], bool]) -> None:
    PLACE.parent.mkdir()
    Path("elsewhere").mkdir()
    Path("elsewhere/precious").touch()
    if kind == "file":
        PLACE.write_text("notes")
    elif kind == "link":
        PLACE.symlink_to(Path("elsewhere").resolve())
    else:
        PLACE.mkdir()
        if kind == "folder":
            (PLACE / "notes").touch()
    with (
        pytest.raises(UsageError, match=f"{PLACE} exists and is not a bundle") as error,
        reserve(PLACE, force=False),
    ):
        pass
    assert "--force" in error.value.hint
    with reserve(PLACE, force=True) as place:
        fill(place.staging)
        publish(place.staging, PLACE)
    assert is_whole(PLACE)
    assert [path.name for path in PLACE.parent.iterdir()] == [PLACE.name]
    assert Path("elsewhere/precious").exists()


def test_a_place_is_held_by_one_build_at_a_time() -> None:
    with reserve(PLACE, force=False) as place:
        with pytest.raises(UsageError, match=f"Another build is writing {PLACE}"), reserve(PLACE, force=True):
            pass
        with reserve(PLACE.with_name("other"), force=False):
            pass
        assert place.staging.is_dir()
    with reserve(PLACE, force=False):
        pass


def test_a_folder_that_cannot_be_made_is_named() -> None:
    Path("dist").touch()
    with pytest.raises(UsageError, match="dist cannot be written"), reserve(PLACE, force=False):
        pass
    with (
        pytest.raises(UsageError, match="/proc/dist cannot be written"),
        reserve(Path("/proc/dist/it"), force=False),
    ):
        pass


def test_without_an_atomic_exchange_a_bundle_is_replaced_by_renames(
    monkeypatch: pytest.MonkeyPatch, is_whole: Callable[[Path], bool]
) -> None:
    monkeypatch.setattr(writer.sys, "platform", "other")
    test_a_bundle_is_replaced_whole(is_whole)


def test_a_zip_has_the_same_bytes_whenever_it_is_written() -> None:
    contents = []
    for name in ("one", "two"):
        folder = Path(name, "it")
        fill(folder)
        for path in folder.rglob("*"):
            path.touch()
        write_zip(folder, Path(name, "it.zip")).rename(Path(name, "it.zip"))
        contents.append(Path(name, "it.zip").read_bytes())
        assert sorted(path.name for path in Path(name).iterdir()) == ["it", "it.zip"]
    assert contents[0] == contents[1]
    with zipfile.ZipFile("one/it.zip") as archive:
        assert archive.namelist() == ["it/kit/use.txt", "it/manifest.json", "it/model.json"]
        assert archive.testzip() is None
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read("it/model.json") == b"new"


def test_a_source_is_a_file_or_a_folder() -> None:
    Path("f").write_text("x")
    assert source_sha256(Path("f")) == hashlib.sha256(b"x").hexdigest()
