"""edgepack inspect --layers: the error of every layer, the cause and the remedy, from the bundle's own record."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_bundle import reseal

from edgepack.bundle.manifest import LayerEntry

Run = Callable[..., Any]


@pytest.fixture
def bundle(build: Run) -> Path:
    done = build("--json")
    assert done.code == 0, done.err
    return Path(done.json["bundles"][0]["path"])


def test_every_layer_has_a_row_and_the_worst_a_cause(edgepack: Run, bundle: Path) -> None:
    told = edgepack("inspect", bundle, "--layers", COLUMNS="80")
    assert told.code == 0
    layers = json.loads((bundle / "manifest.json").read_text())["layers"]
    assert layers
    assert all(f"{layer['sqnr_db']:.1f}" in told.err for layer in layers)
    assert re.search(r"why +output range", told.err)
    assert "hope, outputs 20.0 to 21.0 dB, kept" in told.err
    assert max(map(len, told.err.splitlines())) <= 80


def test_without_the_flag_they_are_not_listed(edgepack: Run, bundle: Path) -> None:
    assert "output range" not in edgepack("inspect", bundle).err


def test_json_has_them_in_the_manifest(edgepack: Run, bundle: Path) -> None:
    found = edgepack("inspect", bundle, "--layers", "--json").json["manifest"]
    assert [LayerEntry.model_validate(layer).kind for layer in found["layers"]] == ["DENSE"] * len(
        found["layers"]
    )
    assert found["remedies"] == ["hope, outputs 20.0 to 21.0 dB, kept"]


def test_float32_has_none_to_tell(edgepack: Run, build: Run) -> None:
    done = build("--precision", "float32", "--json")
    told = edgepack("inspect", done.json["bundles"][0]["path"], "--layers")
    assert told.code == 0
    assert "No layers are recorded" in told.err


def test_what_a_stranger_wrote_steers_no_terminal(edgepack: Run, bundle: Path) -> None:
    def spoil(document: Any) -> None:
        document["layers"][0] |= {"op": "[red]\x1b[31mlong", "cause": "\x1b]0;title\x07[bold]"}

    reseal(bundle, spoil)
    told = edgepack("inspect", bundle, "--layers")
    assert told.code == 0
    assert "\x1b" not in told.err
    assert "[red]" in told.err


def test_a_bare_artifact_has_no_record(edgepack: Run, bundle: Path, tmp_path: Path) -> None:
    bare = tmp_path / "model.tflite"
    bare.write_bytes(b"\0\0\0\0TFL3")
    told = edgepack("inspect", bare, "--layers")
    assert told.code == 2
    assert "only a bundle records" in told.err
