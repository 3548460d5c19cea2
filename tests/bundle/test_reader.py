"""A bundle from anywhere: it is what was built, file by file, or it is refused by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_bundle import FILES, reseal, write

from edgepack.bundle.reader import read
from edgepack.errors import UsageError


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write(tmp_path / "it")


def refused(folder: Path) -> str:
    """What is said of a bundle that is refused."""
    with pytest.raises(UsageError) as caught:
        read(folder)
    assert caught.value.hint
    return caught.value.message


def test_what_was_built_is_read(bundle: Path) -> None:
    found = read(bundle)
    assert [entry.path for entry in found.manifest.files] == FILES
    assert found.artifact.main.read_bytes() == bytes(range(256))
    assert found.given == bundle


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_one_flipped_bit_anywhere_is_refused_with_the_files_name(bundle: Path, name: str) -> None:
    path = bundle / name
    data = path.read_bytes()
    for place in range(0, len(data), 3 if name == "manifest.json" else 17):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        assert name in refused(bundle), place


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\n", lambda data: b""])
def test_a_file_of_another_length_is_refused(
    bundle: Path, name: str, change: Callable[[bytes], bytes]
) -> None:
    (bundle / name).write_bytes(change((bundle / name).read_bytes()))
    assert name in refused(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    assert f"'{name}' is missing" in refused(bundle)


OUTSIDE = [
    "../secret", "kit/../../secret", "..", "/etc/passwd", "//server/share", "C:/secret", "C:secret", "kit\\..\\secret",
    "\\\\server\\share", "model.bin:stream", "a\0b", "a\nb", "\u202egnp.exe", ".", "./model.bin", "kit//use.py", "kit/",
    "", "kit/./use.py", "model.bin ", "model.bin.", "kit /use.py", "x" * 256, "/".join(["x" * 200] * 6), "~\x7f", "\x1b[2J",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_listed_name_stays_in_the_folder_and_is_written_in_one_way(bundle: Path, name: str) -> None:
    reseal(bundle, lambda document: document["files"][0].update(path=name))
    said = refused(bundle)
    assert "names a file outside of the bundle" in said
    assert said.isprintable()


@pytest.mark.parametrize(
    "name",
    ["manifest.json", "Manifest.JSON", "model.bin", "MODEL.bin", "kit/__pycache__/a.pyc", "\u212a.bin"],
)
def test_no_two_names_are_one_file_and_none_is_of_a_kind_that_is_passed_over(bundle: Path, name: str) -> None:
    """U+212A is the sign of the kelvin, a K to those that ignore case."""
    reseal(bundle, lambda document: document["files"][0].update(path="k.bin"))
    reseal(bundle, lambda document: document["files"].append({**document["files"][0], "path": name}))
    assert "listed already" in refused(bundle)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "fifo"])
def test_what_is_no_plain_file_is_refused(bundle: Path, tmp_path: Path, name: str, kind: str) -> None:
    path = bundle / name
    same = tmp_path / "same"
    path.rename(same)
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(same if kind == "link" else tmp_path / "nowhere")
    assert f"'{name}' is a link or a device" in refused(bundle)


def test_a_folder_that_is_a_link_is_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "golden").rename(tmp_path / "elsewhere")
    (bundle / "golden").symlink_to(tmp_path / "elsewhere")
    assert "'golden' is a link" in refused(bundle)


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "nothing"])
def test_a_manifest_that_is_no_plain_file_makes_no_bundle(bundle: Path, tmp_path: Path, kind: str) -> None:
    path = bundle / "manifest.json"
    path.rename(tmp_path / "aside")
    if kind == "link":
        path.symlink_to(tmp_path / "aside")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    assert "it has no manifest.json" in refused(bundle)


@pytest.mark.parametrize("name", ["added.txt", "kit/added.py", "kit/python/use.pyc", "sub/file", ".hidden"])
def test_what_is_not_listed_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).touch()
    said = refused(bundle)
    assert name.partition("/")[0] in said
    assert "does not list it" in said


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_whatever_else_is_not_listed_is_refused(bundle: Path, kind: str) -> None:
    path = bundle / "kit/added"
    {"link": lambda: path.symlink_to("/"), "fifo": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    assert "'kit/added' lies in the bundle, but manifest.json does not list it" in refused(bundle)


@pytest.mark.parametrize(
    "name",
    [".DS_Store", "kit/Thumbs.db", "kit/python/__pycache__/use.cpython-311.pyc", ".pytest_cache/v/x"],
)
def test_what_looking_at_it_and_running_it_leaves_behind_is_passed_over(bundle: Path, name: str) -> None:
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).touch()
    assert read(bundle)


def test_a_link_is_never_passed_over(bundle: Path) -> None:
    (bundle / "kit/__pycache__").symlink_to("/")
    assert "'kit/__pycache__' lies in the bundle" in refused(bundle)


def test_a_claim_of_ten_gigabytes_costs_nothing(bundle: Path) -> None:
    reseal(bundle, lambda document: document["files"][3].update(bytes=10_000_000_000))
    assert "files.3.bytes" in refused(bundle)
    with (bundle / "model.bin").open("r+b") as file:
        file.truncate(7_000_000_000)  # a hole: nothing is on the disk
    reseal(bundle, lambda document: document["files"][3].update(bytes=256))
    assert "'model.bin' has 7000000000 bytes, not the 256" in refused(bundle)


def test_all_files_together_are_bounded(bundle: Path) -> None:
    def claim(document: dict[str, Any]) -> None:
        for entry in document["files"]:
            entry["bytes"] = 3_000_000_000

    reseal(bundle, claim)
    assert "lists more than 8000000000 bytes" in refused(bundle)


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[]", "null", "[" * 1_000_000, '{"a":' * 100_000, "NaN", "9" * 10_000, "\ud800", "\x00", "{",
        '{"schema_version": ' + "9" * 5000 + "}",
    ],
    ids=range(12),
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(bundle: Path, text: str) -> None:
    (bundle / "manifest.json").write_bytes(text.encode(errors="surrogatepass"))
    assert "manifest.json is not a manifest" in refused(bundle)


def test_a_manifest_is_not_read_beyond_what_one_can_be(bundle: Path) -> None:
    with (bundle / "manifest.json").open("r+b") as file:
        file.truncate(9_000_000_000)
    assert "manifest.json is too large" in refused(bundle)


def set_quantization(**values: Any) -> Callable[[dict[str, Any]], None]:
    quantization = {"scale": 0.5, "zero_point": 0} | values
    return lambda document: document["inputs"][0].update(quantization=quantization)


@pytest.mark.parametrize(
    "change",
    [
        set_quantization(scale=float("nan")),
        set_quantization(scale=float("inf")),
        set_quantization(scale=0),
        set_quantization(scale=-1),
        set_quantization(zero_point=10**30),
        lambda document: document.update(artifact=[]),
        lambda document: document.update(surprise=1),
        lambda document: document.update(name="../up"),
        lambda document: document.update({"\x1b[2J" + "x" * 10_000: 1}),
        lambda document: document.update(files=document["files"][:1] * 10_001),
        lambda document: document["files"][0].update(bytes=-1),
    ],
    ids=range(11),
)
def test_what_a_manifest_cannot_say_is_refused(
    bundle: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    reseal(bundle, change)
    said = refused(bundle)
    assert "manifest.json is not a manifest" in said
    assert said.isprintable()
    assert len(said) < 500


@pytest.mark.parametrize("name", ["other.bin", "../model.bin", "/etc/passwd"])
def test_the_artifact_is_one_of_the_files(bundle: Path, name: str) -> None:
    reseal(bundle, lambda document: document.update(artifact=["model.bin", name]))
    assert f"names the artifact '{name}' but does not list it" in refused(bundle)


def test_a_manifest_without_a_seal_is_refused(bundle: Path) -> None:
    document = json.loads((bundle / "manifest.json").read_text())
    del document["seal"]
    (bundle / "manifest.json").write_text(json.dumps(document))
    assert "manifest.json is not the file that was built" in refused(bundle)


def test_what_cannot_be_read_is_said(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("edgepack.bundle.reader.file_sha256", deny)  # root may read everything
    assert refused(bundle) == "'golden/inputs.npz' cannot be read: Permission denied."
