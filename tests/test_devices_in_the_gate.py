"""``edgepack build --device`` and ``verify --trace``: a device that computes wrongly is found, and where it does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.bundle.manifest import Manifest
from edgepack.bundle.writer import seal

BUNDLE = Path("dist/fake_models-1.0.0-fake-int8")
OWN = """
[device.board]
like = "microcontroller"

[device.poor]
like = "microcontroller"
arena = 1

[device.faulty]
like = "microcontroller"
arena = 2
"""


@pytest.fixture(autouse=True)
def own_devices(workspace: Path) -> None:
    (workspace / "edgepack.toml").write_text(OWN)


def manifest(bundle: Path = BUNDLE) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    return found


def test_a_device_that_passes_is_a_row_of_parity(
    build: Callable[..., Any], is_whole: Callable[..., bool]
) -> None:
    done = build("--device", "board", "--json")
    assert done.code == 0
    assert is_whole(BUNDLE)
    row = manifest()["parity"]["board"]
    assert row["passed"] is True
    assert row["beside"] == "scores: the same bits as this machine's kernels give"
    assert done.json["bundles"][0]["parity"]["board"] == row
    assert "board" in done.json["bundles"][0]["seconds"]
    assert "--device board" in manifest()["command"]
    assert "board" in (BUNDLE / "report.html").read_text()


def test_a_device_that_computes_wrongly_keeps_the_bundle_from_shipping(build: Callable[..., Any]) -> None:
    done = build("--device", "board", "--device", "faulty", "--json")
    assert done.code == 1
    assert not BUNDLE.exists()
    aside = Path("dist.rejected") / BUNDLE.name
    told = manifest(aside)
    assert told["gate"]["passed"] is False
    assert any(failure.startswith("faulty: scores") for failure in told["gate"]["failures"])
    assert told["parity"]["board"]["passed"] is True
    assert told["parity"]["faulty"]["passed"] is False
    page = (aside / "report.html").read_text()
    assert "REJECTED" in page
    assert "faulty: scores" in page


def test_a_device_that_cannot_run_it_keeps_the_bundle_from_shipping(build: Callable[..., Any]) -> None:
    done = build("--device", "poor")
    assert done.code == 1
    assert "poor cannot run this bundle: There is no DENSE here." in " ".join(done.err.split())


def test_a_device_that_runs_none_of_the_targets_is_refused_before_anything_is_built(
    build: Callable[..., Any],
) -> None:
    done = build("--device", "raspberry-pi-4")
    assert done.code == 2
    assert "raspberry-pi-4 runs none of fake" in done.err
    assert "load" not in done.err


def test_devices_can_be_named_in_the_file(edgepack: Callable[..., Any], fake: Callable[[str], str]) -> None:
    Path("edgepack.toml").write_text(
        f'{OWN}\n[model]\nsource = "{fake("build")}"\n[data]\nrepresentative = "{fake("samples")}"\n'
        '[build]\ntargets = ["fake"]\ndevices = ["board"]\n'
    )
    assert edgepack("build").code == 0
    assert "board" in manifest()["parity"]


def test_a_trace_names_the_first_layer_that_differs(
    build: Callable[..., Any], edgepack: Callable[..., Any]
) -> None:
    assert build().code == 0
    done = edgepack("verify", BUNDLE, "--device", "faulty", "--trace", "--json")
    assert done.code == 1
    (backend,) = done.json["devices"]["faulty"]["backends"].values()
    assert backend["trace"]["layer"] == "hidden"
    beside = backend["beside_host"]["scores"]
    assert beside["passed"] is False
    assert beside["first"]["device"] != beside["first"]["host"]
    assert "The first of 2 layers that differs is number 1: hidden[0, 5]" in " ".join(done.err.split())


def test_a_device_that_agrees_is_told_so(build: Callable[..., Any], edgepack: Callable[..., Any]) -> None:
    assert build().code == 0
    done = edgepack("verify", BUNDLE, "--device", "board", "--trace")
    assert done.code == 0
    assert "same bits" in done.err
    assert "board: arena 12 bytes" in done.err
    assert "trace" not in done.err


def test_a_trace_finds_a_weight_that_was_changed_since_the_build(
    build: Callable[..., Any], edgepack: Callable[..., Any]
) -> None:
    """Then device and host are wrong alike; the bundle's own record of its layers tells."""
    assert build().code == 0
    with np.load(BUNDLE / "weights.npz") as archive:
        weights = {name: archive[name] for name in archive.files}
    weights["scores"][:, 1] = 127
    np.savez(BUNDLE / "weights.npz", **weights)
    seal(BUNDLE, Manifest.model_validate_json((BUNDLE / "manifest.json").read_text()))
    for device in ("host", "board"):
        done = edgepack("verify", BUNDLE, "--device", device, "--trace", "--json")
        assert done.code == 1
        (backend,) = done.json["devices"][device]["backends"].values()
        assert backend["trace"]["layer"] == "scores"
        assert "is not what was built" in done.err
