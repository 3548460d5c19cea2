"""``edgepack verify``: hashes first, then the golden vectors; on this machine, with the fake target."""

from __future__ import annotations

import importlib.util
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from edgepack.bundle.manifest import Manifest
from edgepack.bundle.writer import seal

BUNDLE = Path("dist/fake_models-1.0.0-fake-int8")


@pytest.fixture
def bundle(build: Callable[..., Any]) -> Path:
    assert build().code == 0
    return BUNDLE


def reseal(bundle: Path, **changes: Any) -> None:
    """What somebody does who changes a bundle and its hashes."""
    manifest = Manifest.model_validate_json((bundle / "manifest.json").read_text())
    seal(bundle, manifest.model_copy(update=changes))


def change_arrays(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with np.load(path) as archive:
        arrays = {name: change(archive[name]) for name in archive.files}
    np.savez(path, **arrays)


def test_a_bundle_passes_where_it_was_built(bundle: Path, edgepack: Callable[..., Any]) -> None:
    done = edgepack("verify", bundle)
    assert done.code == 0
    assert done.out == ""
    assert "passed on host" in done.err


def test_the_json_is_one_document(bundle: Path, edgepack: Callable[..., Any]) -> None:
    done = edgepack("verify", bundle, "--json")
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert done.code == 0
    assert done.json["passed"] is True
    assert done.json["error"] is None
    assert done.json["bundle"] == {
        "name": BUNDLE.name, "target": "fake", "precision": "int8", "path": str(BUNDLE),
        "gate": manifest["gate"]["expression"],
    }  # fmt: skip
    (backend,) = done.json["devices"]["host"]["backends"].values()
    assert backend["passed"] is True
    assert (backend["samples"], backend["error"], backend["failures"]) == (
        manifest["golden"]["shipped"],
        "",
        [],
    )
    assert sorted(backend["outputs"]["scores"]) == ["argmax_agreement", "cosine", "max_abs", "sqnr_db"]


def test_another_artifact_misses_the_gate(bundle: Path, edgepack: Callable[..., Any]) -> None:
    change_arrays(bundle / "weights.npz", np.flipud)
    reseal(bundle)
    done = edgepack("verify", bundle, "--json")
    assert done.code == 1
    assert done.json["passed"] is False
    (backend,) = done.json["devices"]["host"]["backends"].values()
    assert any("cosine" in failure for failure in backend["failures"])
    assert "misses the gate" in done.err
    assert "did NOT pass on host" in done.err


def test_an_answer_that_is_not_finite_is_still_json(bundle: Path, edgepack: Callable[..., Any]) -> None:
    change_arrays(bundle / "golden/outputs.npz", lambda array: np.full_like(array, np.nan))
    reseal(bundle)
    done = edgepack("verify", bundle, "--json")
    assert done.code == 1
    assert "Infinity" not in done.out
    (backend,) = done.json["devices"]["host"]["backends"].values()
    assert backend["failures"] == ["scores is not finite"]
    assert backend["outputs"]["scores"]["max_abs"] is None


@pytest.mark.parametrize("name", ["weights.npz", "golden/inputs.npz", "kit/use.txt", "manifest.json"])
def test_a_flipped_byte_is_refused_before_anything_runs(
    bundle: Path, edgepack: Callable[..., Any], name: str
) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    done = edgepack("verify", bundle, "--json")
    assert done.code == 2
    assert name in done.json["error"]["message"]
    assert "host" not in done.err


def test_an_unknown_device_gets_the_nearest_one(bundle: Path, edgepack: Callable[..., Any]) -> None:
    done = edgepack("verify", bundle, "--device", "hots")
    assert done.code == 2
    assert "Did you mean 'host'?" in done.err


def test_a_browser_takes_bundles_with_a_web_page_only(bundle: Path, edgepack: Callable[..., Any]) -> None:
    done = edgepack("verify", bundle, "--device", "chrome-android")
    assert done.code == 2
    assert "a bundle for fake" in done.err


def with_a_page(bundle: Path) -> None:
    for name in ("index.html", "edgepack.js"):
        (bundle / name).write_text("")
    reseal(bundle)


def test_without_playwright_nothing_is_verified(
    bundle: Path, edgepack: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("playwright"):
        hidden = bundle.parent / "hidden"
        hidden.mkdir()
        (hidden / "sitecustomize.py").write_text(
            "import importlib.metadata as m; real = m.version\n"
            "def version(name):\n"
            "    if name == 'playwright': raise m.PackageNotFoundError(name)\n"
            "    return real(name)\n"
            "m.version = version\n"
        )
        monkeypatch.syspath_prepend(hidden)
        monkeypatch.setenv("PYTHONPATH", str(hidden), prepend=":")
    with_a_page(bundle)
    done = edgepack("verify", bundle, "--device", "host", "--device", "chrome-desktop", "--json")
    assert done.code == 4
    assert "edgepack[browser]" in done.json["error"]["hint"]
    assert "passed" not in done.err


def test_the_gate_itself_is_read_from_the_bundle(bundle: Path, edgepack: Callable[..., Any]) -> None:
    manifest = Manifest.model_validate_json((bundle / "manifest.json").read_text())
    reseal(bundle, gate=manifest.gate.model_copy(update={"asked": {"scores": ("sqnr_db>=200",)}}))
    assert edgepack("verify", bundle).code == 1


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: np.savez(path, x=np.zeros((10, 1, 5))), "'x' has the shape 10x1x5"),
        (lambda path: np.savez(path, other=np.zeros((10, 1, 4))), "has 'other.npy'"),
        (lambda path: path.write_bytes(b"no zip"), "cannot be read"),
        (lambda path: np.savez(path, x=np.array([[["a"] * 4]] * 10)), "which is no number"),
    ],
    ids=["shape", "name", "file", "text"],
)
def test_golden_vectors_that_are_not_what_the_manifest_says_are_refused(
    bundle: Path, edgepack: Callable[..., Any], damage: Callable[[Path], Any], said: str
) -> None:
    damage(bundle / "golden/inputs.npz")
    reseal(bundle)
    done = edgepack("verify", bundle)
    assert done.code == 2
    assert "golden/inputs.npz" in done.err
    assert said in done.err


def test_golden_vectors_are_never_unpickled(bundle: Path, edgepack: Callable[..., Any]) -> None:
    np.savez(bundle / "golden/inputs.npz", x=np.full((10, 1, 4), {}, dtype=object))
    reseal(bundle)
    done = edgepack("verify", bundle)
    assert done.code == 2
    assert "golden/inputs.npz: 'x' is |O, which is no number" in done.err


def test_a_backend_that_the_build_found_wanting_is_not_tried(
    bundle: Path, edgepack: Callable[..., Any]
) -> None:
    reseal(bundle, backends={"": "no kernel for 'x'"})
    done = edgepack("verify", bundle)
    assert done.code == 1
    assert "host cannot run this bundle: no kernel for 'x'" in done.err


def test_a_zip_is_verified_looked_into_and_leaves_nothing(
    build: Callable[..., Any], edgepack: Callable[..., Any], tmp_path: Path
) -> None:
    assert build("--zip").code == 0
    archive = BUNDLE.with_name(f"{BUNDLE.name}.zip")
    (tmp_path / "tmp").mkdir()
    done = edgepack("verify", archive, "--json", TMPDIR=str(tmp_path / "tmp"))
    assert (done.code, done.json["passed"]) == (0, True)
    assert done.json["bundle"]["path"] == str(archive)
    looked = edgepack("inspect", archive, "--json", TMPDIR=str(tmp_path / "tmp"))
    assert looked.json["manifest"]["name"] == "fake_models"
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr("../evil", "evil")
    refused = edgepack("verify", archive, "--json", TMPDIR=str(tmp_path / "tmp"))
    assert refused.code == 2
    assert "'../evil' would be written outside" in refused.json["error"]["message"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_junit_says_what_the_exit_code_says(bundle: Path, edgepack: Callable[..., Any]) -> None:
    assert edgepack("verify", bundle, "--junit", "reports/it.xml").code == 0
    suite = ElementTree.parse("reports/it.xml").getroot()[0]
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("host", "1", "0")
    change_arrays(bundle / "weights.npz", np.flipud)
    reseal(bundle)
    assert edgepack("verify", bundle, "--junit", "reports/it.xml").code == 1
    (failure,) = ElementTree.parse("reports/it.xml").getroot().iter("failure")
    assert "cosine" in failure.get("message", "")
    (bundle / "weights.npz").unlink()
    assert edgepack("verify", bundle, "--junit", "reports/it.xml").code == 2
    assert list(Path("reports").iterdir()) == []  # the earlier file does not speak for this run


def test_a_moved_bundle_is_verified_where_it_is(bundle: Path, edgepack: Callable[..., Any]) -> None:
    shutil.move(bundle, "elsewhere")
    assert edgepack("verify", "elsewhere").code == 0
