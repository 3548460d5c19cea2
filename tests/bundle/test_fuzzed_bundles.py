"""Bundles that chance made: read or refused, never an error of ours, and nothing outside of them touched."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_bundle import FILES, everything, reseal, sealed_text, write, zipped

from edgepack.bundle.manifest import Manifest
from edgepack.bundle.reader import opened
from edgepack.bundle.writer import seal
from edgepack.devices import golden
from edgepack.errors import UsageError

EXAMPLES = settings(max_examples=int(os.environ.get("EDGEPACK_FUZZ", "100")))
"""More of them: ``EDGEPACK_FUZZ=100000 pytest tests/bundle/test_fuzzed_bundles.py``."""

NAMES = st.sampled_from(
    [
        *FILES, "manifest.json", "../sentinel", "/tmp/x", "..", "", "a/b", "kit", "kit/..", "C:\\x", "x\0", "golden/INPUTS.npz",
        "kit/python/__pycache__/x.pyc",
    ]
) | st.text(max_size=8)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    zipped(write(folder / "it"), folder / "it.zip")
    return folder


@contextmanager
def copied(template: Path) -> Iterator[Path]:
    """A copy of the template, ``it/`` and ``it.zip``, beside which nothing may change; what temporary folders are made, go."""
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        shutil.copytree(template, root / "bundles")
        (root / "tmp").mkdir()
        (root / "sentinel").write_text("untouched")
        usual, tempfile.tempdir = tempfile.tempdir, str(root / "tmp")
        try:
            yield root / "bundles"
        finally:
            tempfile.tempdir = usual
        assert set(os.listdir(root)) == {"bundles", "tmp", "sentinel"}
        assert (root / "sentinel").read_text() == "untouched"
        assert os.listdir(root / "tmp") == []


def use(path: Path) -> bool:
    """Whether a bundle is read, golden vectors and all; that it changes nothing is checked."""
    before = everything(path.parent)
    try:
        with opened(path) as bundle:
            golden.load(bundle)
    except UsageError:
        return False
    finally:
        assert everything(path.parent) == before
    return True


def test_as_built_both_are_read(template: Path) -> None:
    assert use(template / "it")
    assert use(template / "it.zip")


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON document, as what holds it and its key there."""
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        yield document, key
        if isinstance(value, dict | list):
            yield from places(value)


@EXAMPLES
@given(data=st.data())
def test_manifests_with_another_value_or_none_somewhere(template: Path, data: st.DataObject) -> None:
    with copied(template) as folder:

        def change(document: dict[str, Any]) -> None:
            for _ in range(data.draw(st.integers(1, 3))):
                holder, key = data.draw(st.sampled_from(list(places(document))))
                if data.draw(st.booleans()):
                    holder[key] = data.draw(JSON)
                else:
                    del holder[key]

        reseal(folder / "it", change)
        use(folder / "it")


@EXAMPLES
@given(document=st.dictionaries(st.text(max_size=5), JSON, max_size=4), text=st.binary(max_size=50))
def test_manifests_of_anything(template: Path, document: dict[str, Any], text: bytes) -> None:
    with copied(template) as folder:
        for content in (sealed_text(document), json.dumps(document).encode(), text):
            (folder / "it/manifest.json").write_bytes(content)
            assert not use(folder / "it")


@st.composite
def edits(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Some bytes replaced, inserted, removed, repeated; most often at the end, where a zip's directory is."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["set", "insert", "cut", "repeat"]),
                st.floats(0, 1) | st.floats(0.5, 1),
                st.binary(min_size=1, max_size=8) | st.sampled_from([b"\0" * 4, b"\xff" * 8, b"PK\1\2"]),
            ),
            min_size=1,
            max_size=4,
        )
    )

    def edit(data: bytes) -> bytes:
        for kind, where, piece in steps:
            at = int(where * len(data))
            match kind:
                case "set":
                    data = data[:at] + piece + data[at + len(piece) :]
                case "insert":
                    data = data[:at] + piece + data[at:]
                case "cut":
                    data = data[:at] + data[at + len(piece) :]
                case "repeat":
                    data = data[:at] + data[max(0, at - 60) :]
        return data

    return edit


@EXAMPLES
@given(edit=edits())
def test_zips_with_other_bytes(template: Path, edit: Callable[[bytes], bytes]) -> None:
    with copied(template) as folder:
        (folder / "it.zip").write_bytes(edit((folder / "it.zip").read_bytes()))
        use(folder / "it.zip")


@EXAMPLES
@given(edit=edits(), name=st.sampled_from(["golden/inputs.npz", "golden/outputs.npz"]))
def test_golden_vectors_with_other_bytes_and_hashes_that_fit(
    template: Path, edit: Callable[[bytes], bytes], name: str
) -> None:
    with copied(template) as folder:
        bundle = folder / "it"
        (bundle / name).write_bytes(edit((bundle / name).read_bytes()))
        seal(bundle, Manifest.model_validate_json((bundle / "manifest.json").read_bytes()))
        use(bundle)


@EXAMPLES
@given(edit=edits(), name=st.sampled_from([*FILES, "manifest.json"]))
def test_files_with_other_bytes(template: Path, edit: Callable[[bytes], bytes], name: str) -> None:
    with copied(template) as folder:
        path = folder / "it" / name
        before = path.read_bytes()
        path.write_bytes(edit(before))
        assert use(folder / "it") == (path.read_bytes() == before)


MAKERS: dict[str, Callable[[Path], object]] = {
    "file": Path.touch,
    "folder": Path.mkdir,
    "link": lambda path: path.symlink_to("/"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link within": lambda path: path.symlink_to("model.bin"),
    "fifo": os.mkfifo,
}
PLACES = ["model.bin", "kit", "kit/python", "kit/python/use.py", "golden", "manifest.json", "new", "kit/new", "golden/__pycache__"]  # fmt: skip


@EXAMPLES
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(PLACES), st.sampled_from([*MAKERS, "nothing"])), min_size=1, max_size=4
    )
)
def test_trees_with_other_things_in_them(template: Path, changes: list[tuple[str, str]]) -> None:
    with copied(template) as folder:
        for place, kind in changes:
            path = folder / "it" / place
            if not path.parent.is_dir() or path.parent.is_symlink():
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            if kind != "nothing":
                MAKERS[kind](path)
        use(folder / "it")


@EXAMPLES
@given(names=st.lists(NAMES, min_size=1, max_size=4), modes=st.lists(st.integers(0, 2**16 - 1), max_size=4))
def test_zips_with_entries_of_any_name(template: Path, names: list[str], modes: list[int]) -> None:
    with copied(template) as folder:
        with warnings.catch_warnings(), zipfile.ZipFile(folder / "it.zip", "a") as file:
            warnings.simplefilter("ignore")
            for name, mode in zip(names, [*modes, 0, 0, 0, 0], strict=False):
                info = zipfile.ZipInfo()
                info.filename, info.external_attr = name, mode << 16
                file.writestr(info, b"evil")
        use(folder / "it.zip")
