"""The flow, in-process, for the fake target: from a factory to a sealed folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

from edgepack import parity, pipeline, registry
from edgepack.bundle.manifest import Manifest
from edgepack.errors import EdgepackError, ModelError, UsageError
from edgepack.events import Event, StepEnded, Warned
from edgepack.pipeline import Built
from edgepack.project import load
from edgepack.target import Artifact

Make = Callable[..., Built]


@pytest.fixture
def make(workspace: Path, tmp_path: Path, fake: Callable[[str], str]) -> Make:
    """Run the pipeline into ``out/``; keyword arguments are tables of the project."""

    def run(**tables: dict[str, Any]) -> Built:
        project = {
            "model": {"source": fake("build")} | tables.get("model", {}),
            "data": {"representative": fake("samples")} | tables.get("data", {}),
        }
        for folder in ("out", "scratch"):
            (tmp_path / folder).mkdir()
        return pipeline.build(
            load(None, {**tables, **project}), "fake", tmp_path / "scratch", tmp_path / "out"
        )

    return run


def test_a_sealed_folder_holds_all_that_ships(
    make: Make, tmp_path: Path, is_whole: Callable[..., bool]
) -> None:
    built = make()
    assert built.manifest.gate.failures == ()
    assert is_whole(tmp_path / "out")
    assert [file.path for file in built.manifest.files] == [
        "golden/inputs.npz", "golden/layers.json", "golden/outputs.npz", "kit/use.txt", "model.json", "report.html", "weights.npz",
    ]  # fmt: skip
    assert json.loads((tmp_path / "out/manifest.json").read_text()) == json.loads(built.manifest.to_json())


def test_the_manifest_is_valid_against_its_schema(make: Make, tmp_path: Path) -> None:
    make()
    document = json.loads((tmp_path / "out/manifest.json").read_text())
    jsonschema.Draft202012Validator(Manifest.model_json_schema()).validate(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "extra": 1}, Manifest.model_json_schema())


def test_the_manifest_tells_what_was_built_and_how_good_it_is(make: Make) -> None:
    manifest = make(model={"name": "flowers", "version": "2.0"}).manifest
    assert manifest.bundle_name == "flowers-2.0-fake-int8"
    (x,), (scores,) = manifest.inputs, manifest.outputs
    assert (x.name, x.shape, x.dtype) == ("x", (1, 4), "int8")
    assert x.quantization is not None
    assert scores.quantization is not None
    assert scores.quantization.scale == pytest.approx(1 / 127)
    assert manifest.artifact == ("model.json", "weights.npz")
    assert (manifest.audit.ops_total, manifest.audit.full_int8) == (2, True)
    assert manifest.audit.bytes_by_dtype == {"int8": 4 * 16 + 16 * 3}
    assert manifest.audit.requires == {"numpy": "2"}
    assert manifest.golden.measured == manifest.golden.shipped == manifest.parity["host"].samples == 10
    assert manifest.gate.passed
    assert 20 < manifest.parity["host"].outputs["scores"].sqnr_db < 60
    assert manifest.notes == ("made of numpy",)
    assert manifest.toolchain["numpy"] == np.__version__


def test_float32_is_exact_and_has_no_layers_to_blame(make: Make) -> None:
    built = make(build={"precision": "float32"})
    assert built.manifest.parity["host"].outputs["scores"].sqnr_db == 300
    assert not built.manifest.audit.full_int8
    assert built.worst == ()


def test_golden_vectors_are_the_originals_answers_without_pickles(make: Make, tmp_path: Path) -> None:
    make()
    import fake_models  # on sys.path by the fixture

    with (
        np.load(tmp_path / "out/golden/inputs.npz", allow_pickle=False) as inputs,
        np.load(tmp_path / "out/golden/outputs.npz", allow_pickle=False) as outputs,
    ):
        every = [sample["x"] for sample in fake_models.samples()]
        np.testing.assert_array_equal(inputs["x"][:, 0], every[3::4])
        for x, scores in zip(inputs["x"], outputs["scores"], strict=True):
            np.testing.assert_array_equal(fake_models.build()({"x": x})["scores"], scores)


def test_what_ships_is_what_was_measured(make: Make, tmp_path: Path) -> None:
    """The shipped artifact, opened anew and fed the shipped golden vectors, gives the manifest's numbers."""
    manifest = make().manifest
    target = registry.load_target(registry.target("fake"))
    artifact = Artifact(tmp_path / "out", manifest.artifact)
    with np.load(tmp_path / "out/golden/inputs.npz") as x, np.load(tmp_path / "out/golden/outputs.npz") as y:
        inputs, golden = [{"x": row} for row in x["x"]], [{"scores": row} for row in y["scores"]]
    found = parity.measure(target.open(artifact), inputs, golden)["scores"]
    told = manifest.parity["host"].outputs["scores"]
    assert found.sqnr_db == pytest.approx(told.sqnr_db, abs=1e-3)
    assert (found.max_abs, found.cosine, found.argmax_agreement) == (
        told.max_abs, told.cosine, told.argmax_agreement,
    )  # fmt: skip
    assert target.audit(artifact).full_int8 == manifest.audit.full_int8


def test_a_failed_gate_is_told_with_the_worst_layers(
    make: Make, fake: Callable[[str], str], tmp_path: Path
) -> None:
    built = make(model={"source": fake("broken")})
    assert any("cosine is" in failure for failure in built.manifest.gate.failures)
    assert not built.manifest.gate.passed
    assert not built.manifest.parity["host"].passed
    assert sorted(layer.name for layer in built.worst) == ["hidden", "scores"]
    assert (tmp_path / "out/report.html").is_file()


def test_the_users_gate_replaces_the_default_one(make: Make) -> None:
    built = make(gate={"sqnr_db": 99.0})
    assert built.manifest.gate.expression == "sqnr_db>=99"
    assert len(built.manifest.gate.failures) == 1
    assert built.manifest.gate.failures[0].startswith("scores: sqnr_db is ")


def test_labels_travel_and_must_fit_an_output(make: Make, tmp_path: Path) -> None:
    Path("labels.txt").write_text("daisy\nrose\ntulip\n")
    manifest = make(model={"labels": "labels.txt"}).manifest
    assert manifest.labels == ("daisy", "rose", "tulip")
    assert (tmp_path / "out/labels.txt").read_text() == "daisy\nrose\ntulip\n"
    assert manifest.outputs[0].meaning == "a score for each label"
    assert manifest.outputs[0].top_k == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a\nb\n", r"has 2 labels; the outputs have 3 \(scores\)"), (b"\xff", "cannot be read"), (None, "cannot be read")],
)  # fmt: skip
def test_wrong_labels_are_refused(make: Make, content: bytes | None, message: str) -> None:
    if content is not None:
        Path("labels.txt").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        make(model={"labels": "labels.txt"})


def test_a_folder_of_images_makes_a_bundle_that_is_fed_pixels(make: Make, fake: Callable[[str], str]) -> None:
    Path("photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(20):
        Image.fromarray(rng.integers(0, 256, (16, 12, 3), np.uint8)).save(f"photos/{number}.png")
    manifest = make(
        model={"source": fake("photo")}, data={"representative": "photos"}, gate={"cosine": 0.9}
    ).manifest
    (image,) = manifest.inputs
    assert image.image is not None
    assert (image.image.channels, image.shape) == ("rgb", (1, 8, 6, 3))
    assert image.meaning == "pixels"


def test_every_stage_is_reported_in_the_order_of_the_flow(make: Make, events: list[Event]) -> None:
    make()
    ended = [event for event in events if isinstance(event, StepEnded)]
    assert [event.name for event in ended] == [
        "load", "samples", "golden", "lower", "emit float32", "emit", "audit", "parity", "compare layers", "write bundle",
    ]  # fmt: skip
    assert all(event.ok for event in ended)
    assert {event.name: event.detail for event in ended}["samples"] == "30 to calibrate, 10 held back"
    assert Warned("made of numpy") in events


@pytest.mark.parametrize(
    ("source", "data", "kind"),
    [("raises", "samples", ModelError), ("build", "samples_then_crash", ModelError), ("photo", "samples", UsageError)],
)  # fmt: skip
def test_what_goes_wrong_ends_the_step_it_happened_in(
    make: Make, fake: Callable[[str], str], events: list[Event], source: str, data: str, kind: type[EdgepackError]
) -> None:  # fmt: skip
    with pytest.raises(kind):
        make(model={"source": fake(source)}, data={"representative": fake(data)})
    last = [event for event in events if isinstance(event, StepEnded)][-1]
    assert not last.ok
