"""A whole build by the command: what is published, what is put aside, what is left alone."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edgepack.bundle.manifest import Manifest
from edgepack.events import Event, StepEnded, StepStarted
from edgepack.jobs import Job, timing

Build = Callable[..., Any]
BUNDLE = Path("dist/fake_models-1.0.0-fake-int8")


def digest(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def scratch(workspace: Path) -> list[Path]:
    """What builds left in the cache, locks aside."""
    cache = workspace.parent / "cache/edgepack/work"
    return [path for path in cache.iterdir() if path.suffix != ".lock"]


def test_a_bundle_is_published_whole(build: Build, workspace: Path, is_whole: Callable[[Path], bool]) -> None:
    done = build("--json")
    assert done.code == 0, done.err
    (bundle,) = done.json["bundles"]
    assert bundle["path"] == str(BUNDLE)
    assert bundle["error"] is None
    assert is_whole(BUNDLE)
    jsonschema.validate(json.loads((BUNDLE / "manifest.json").read_text()), Manifest.model_json_schema())
    assert list(Path("dist").iterdir()) == [BUNDLE]
    assert scratch(workspace) == []


def test_the_json_is_as_documented(build: Build) -> None:
    done = build("--json", "--zip", "--precision", "float32", "--gate", "sqnr_db>=50")
    (bundle,) = done.json["bundles"]
    assert set(bundle) == {
        "target", "precision", "path", "bytes", "zip_bytes", "gate", "parity", "metrics", "audit", "compression",
        "seconds", "error",
    }  # fmt: skip
    assert (bundle["target"], bundle["precision"]) == ("fake", "float32")
    asked = {"scores": ["sqnr_db>=50"]}
    assert bundle["gate"] == {"expression": "sqnr_db>=50", "passed": True, "failures": [], "asked": asked}
    assert bundle["parity"]["host"]["passed"] is True
    assert set(bundle["parity"]["host"]["outputs"]["scores"]) == {
        "sqnr_db",
        "max_abs",
        "cosine",
        "argmax_agreement",
    }
    assert bundle["audit"]["ops_by_precision"] == {"float32": 2}
    assert {"load", "samples", "golden", "parity"} <= set(bundle["seconds"])
    assert bundle["zip_bytes"] == Path(bundle["path"] + ".zip").stat().st_size
    size = sum(
        path.stat().st_size for path in Path(bundle["path"]).rglob("*") if path.name != "manifest.json"
    )
    folders = sum(path.stat().st_size for path in Path(bundle["path"]).rglob("*") if path.is_dir())
    assert bundle["bytes"] == size - folders


def test_the_same_inputs_give_the_same_bytes(build: Build) -> None:
    found = []
    for out, cache in (("one", "a"), ("two", "b")):
        done = build("--out", out, "--zip", XDG_CACHE_HOME=os.path.abspath(cache), TZ=f"UTC-{len(found) * 9}")
        assert done.code == 0, done.err
        found.append(digest(Path(out)))
    assert found[0] == found[1]
    assert f"{BUNDLE.name}.zip" in found[0]
    with zipfile.ZipFile(f"one/{BUNDLE.name}.zip") as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == {BUNDLE.name}


def test_what_fails_its_gate_is_not_shipped(
    build: Build, workspace: Path, is_whole: Callable[[Path], bool]
) -> None:
    done = build("--json", "--zip", source="broken")
    assert done.code == 1
    assert not Path("dist").exists()
    aside = Path("dist.rejected") / BUNDLE.name
    (bundle,) = done.json["bundles"]
    assert bundle["error"]["kind"] == "gate"
    assert "cosine is" in bundle["error"]["message"]
    assert Path(bundle["path"]) == aside
    assert is_whole(aside)
    assert not json.loads((aside / "manifest.json").read_text())["gate"]["passed"]
    assert "scores" in done.err
    assert [path for path in Path().rglob("*.zip*")] == []
    assert scratch(workspace) == []


def test_a_rejected_bundle_replaces_the_one_rejected_before_it(
    build: Build, is_whole: Callable[[Path], bool]
) -> None:
    aside = Path("dist.rejected") / BUNDLE.name
    (aside / "stale").mkdir(parents=True)
    assert build(source="broken").code == 1
    assert is_whole(aside)
    assert not (aside / "stale").exists()


def test_the_current_folder_may_be_the_place(build: Build) -> None:
    assert build("--out", ".").code == 0
    assert Path(BUNDLE.name).is_dir()


def test_failed_builds_leave_the_previous_bundle_alone(build: Build, workspace: Path) -> None:
    assert build("--name", "it").code == 0
    before = digest(Path("dist"))
    for arguments, code in (
        ({"source": "broken"}, 1),
        ({"source": "photo"}, 2),
        ({"source": "raises"}, 3),
        ({"data": "samples_then_crash"}, 3),
        ({"source": "dies"}, 5),
    ):
        done = build("--name", "it", **arguments)
        assert done.code == code, done.err
        assert "error:" in done.err
        assert digest(Path("dist")) == before
        assert scratch(workspace) == []


def test_one_target_that_fails_does_not_stop_the_others_and_the_gravest_error_counts(
    edgepack: Build, fake: Callable[[str], str]
) -> None:
    """The model has neither form that tflite takes, so tflite fails; the other one fails its gate."""
    targets = ("--target", "tflite", "--target", "fake")
    done = edgepack("build", fake("broken"), "--data", fake("samples"), *targets, "--json")
    first, second = done.json["bundles"]
    assert (first["target"], second["target"]) == ("tflite", "fake")
    assert second["error"]["kind"] == "gate"
    assert (Path("dist.rejected") / BUNDLE.name / "manifest.json").is_file()
    assert first["error"]["kind"] == "model"
    assert "takes TensorFlow or PyTorch models; this one is of numpy" in first["error"]["message"]
    assert done.code == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "fak"], "Did you mean 'fake'?"),
        (["--precision", "float16"], "has no precision 'float16'"),
        (["--gate", "sqnr>=1"], "Did you mean 'sqnr_db'?"),
        (["--gate", "max_abs>=1"], "max_abs takes <="),
        (["--shape", "x"], "--shape x is not understood"),
        (["--input", "x:scal=1"], "Did you mean 'input.x.scale'?"),
        (["--input", "scale=1"], "names no tensor"),
        (["--name", "../up"], "model.name"),
        (["--out", "file"], "file cannot be written"),
        (["--out", "/proc/here"], "/proc/here cannot be written"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_before_any_work(build: Build, arguments: list[str], message: str) -> None:
    Path("file").touch()
    done = build(*arguments)
    assert done.code == 2
    assert message in done.err
    assert "✓" not in done.err
    assert [path.name for path in Path().iterdir()] == ["file"]


def test_a_place_with_something_else_in_it_needs_force(
    build: Build, is_whole: Callable[[Path], bool]
) -> None:
    BUNDLE.mkdir(parents=True)
    (BUNDLE / "notes").touch()
    done = build()
    assert done.code == 2
    assert "is not a bundle" in done.err
    assert (BUNDLE / "notes").exists()
    assert build("--force").code == 0
    assert is_whole(BUNDLE)


def test_without_samples_or_source_there_is_nothing_to_build(
    edgepack: Build, fake: Callable[[str], str]
) -> None:
    for arguments, message in (
        ([], "There is no SOURCE"),
        ([fake("build"), "--target", "fake"], "There are no samples"),
    ):
        done = edgepack("build", *arguments)
        assert (done.code, message in done.err) == (2, True), done.err


def test_a_project_file_is_built_without_a_source(edgepack: Build, fake: Callable[[str], str]) -> None:
    Path("edgepack.toml").write_text(
        f"[model]\nname = 'mine'\nsource = '{fake('build')}'\n[data]\nrepresentative = '{fake('samples')}'\n"
        "[build]\ntargets = ['fake']\nprecision = 'float32'\n"
    )
    assert edgepack("build").code == 0
    assert Path("dist/mine-1.0.0-fake-float32/manifest.json").is_file()
    assert edgepack("build", "--precision", "int8", "--name", "other").code == 0
    assert Path("dist/other-1.0.0-fake-int8/manifest.json").is_file()


def test_an_original_that_answers_nan_is_blamed_itself(build: Build) -> None:
    done = build(source="overflows")
    assert done.code == 3
    assert "The original itself answers NaN" in done.err
    assert "'scores'" in done.err


def test_a_zip_of_the_bundle_before_does_not_stay(build: Build) -> None:
    assert build("--zip").code == 0
    archive = BUNDLE.with_name(BUNDLE.name + ".zip")
    assert archive.is_file()
    assert build().code == 0
    assert list(Path("dist").iterdir()) == [BUNDLE]


def test_debug_keeps_the_exit_code(build: Build) -> None:
    assert build("--debug", source="raises").code == 3
    assert build("--debug", "--gate", "sqnr>=1").code == 2


def test_a_step_inside_another_takes_no_time_of_its_own() -> None:
    job, heard = Job("fake", "auto"), list[Event]()
    listen = timing(job, heard.append)
    events = [
        StepStarted("try"),
        StepStarted("improve"),
        StepEnded("improve", 3.0, True),
        StepEnded("try", 5.0, True),
    ]
    for event in [*events, StepStarted("emit"), StepEnded("emit", 1.5, True)]:
        listen(event)
    assert job.seconds == {"improve": 3.0, "try": 5.0, "emit": 1.5}
    assert job.total_seconds == 6.5
    assert len(heard) == 6
