"""One build, several targets: side by side, from one recording of the original; and a target in another one's kit."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Build = Callable[..., Any]
BOTH = ("--target", "twin")  # beside the fake one, which the fixture asks for
FAKE, TWIN = (Path(f"dist/fake_models-1.0.0-{name}-int8") for name in ("fake", "twin"))


def scratch(workspace: Path) -> list[str]:
    cache = workspace.parent / "cache/edgepack/work"
    return [path.name for path in cache.iterdir() if path.suffix != ".lock"]


def test_each_target_gets_its_bundle_and_its_row(build: Build, workspace: Path) -> None:
    done = build(*BOTH, "--json")
    assert done.code == 0, done.err
    assert [(each["target"], each["path"]) for each in done.json["bundles"]] == [
        ("fake", str(FAKE)),
        ("twin", str(TWIN)),
    ]
    assert {path.name for path in Path("dist").iterdir()} == {FAKE.name, TWIN.name}
    assert scratch(workspace) == []


def test_lines_of_progress_say_whose_they_are(build: Build) -> None:
    lines = build(*BOTH).err.splitlines()
    assert [line for line in lines if line.startswith("✓ golden")]
    for target in ("fake", "twin"):
        assert any(line.split()[:3] == ["✓", target, "parity"] for line in lines)


def test_the_original_is_asked_once_for_all(build: Build) -> None:
    assert build(*BOTH, source="counted").code == 0
    assert len(Path("asked.txt").read_text().splitlines()) == 10  # the held-back quarter of 40


def test_notes_on_the_source_are_told_once(build: Build) -> None:
    assert build(*BOTH).err.count("made of numpy") == 1


def test_side_by_side_or_one_by_one_gives_the_same_bytes(build: Build) -> None:
    def digests() -> list[str]:
        files = (path for path in sorted(Path("dist").rglob("*")) if path.is_file())
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]

    assert build(*BOTH, "--jobs", "2").code == 0
    together = digests()
    assert build(*BOTH, "--jobs", "1").code == 0
    assert digests() == together


def test_every_two_bundles_are_compared_and_each_says_so(build: Build) -> None:
    done = build(*BOTH, "--json")
    (agreement,) = done.json["agreements"]
    assert agreement["targets"] == ["fake", "twin"]
    assert agreement["outputs"]["scores"]["sqnr_db"] == 300  # the same weights, the same arithmetic
    assert "fake and twin" in done.err
    for folder in (FAKE, TWIN):
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["agreements"] == done.json["agreements"]
        assert "fake and twin" in (folder / "report.html").read_text()
        assert is_sealed(folder)


def is_sealed(folder: Path) -> bool:
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    return all(
        hashlib.sha256((folder / entry["path"]).read_bytes()).hexdigest() == entry["sha256"]
        for entry in listed
    )


def test_a_rejected_bundle_is_compared_too(build: Build) -> None:
    """Who looks for what went wrong wants to know whether the other target has it, too."""
    done = build(*BOTH, "--json", "--gate", "sqnr_db>=200")
    assert done.code == 1
    assert len(done.json["agreements"]) == 1


def test_of_what_failed_there_is_nothing_to_compare(build: Build) -> None:
    done = build(*BOTH, "--json", FAKE_TWIN="broken")
    assert "agreements" not in done.json


def test_one_that_fails_does_not_stop_the_other(build: Build) -> None:
    done = build(*BOTH, "--json", FAKE_TWIN="broken")
    assert done.code == 3
    fake, twin = done.json["bundles"]
    assert (fake["error"], FAKE.is_dir()) == (None, True)
    assert twin["error"]["message"] == "The twin lowers nothing."
    assert not TWIN.exists()


def test_a_source_that_cannot_be_loaded_is_each_ones_error(build: Build, workspace: Path) -> None:
    done = build(*BOTH, "--json", source="raises")
    assert done.code == 3
    assert len({each["error"]["message"] for each in done.json["bundles"]}) == 1
    assert list(workspace.iterdir()) == []


def test_ctrl_c_ends_all_of_them(fake: Callable[[str], str], workspace: Path) -> None:
    command = [sys.executable, "-m", "edgepack", "build", fake("slow_again"), "--data", fake("samples")]
    process = subprocess.Popen(
        [*command, "--target", "fake", *BOTH], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        end = time.monotonic() + 60
        while len(list(Path("dist").glob(".*.partial-*"))) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.5)  # into the user's factory
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=50)  # the factory takes longer
    finally:
        process.kill()
    assert process.returncode == 130
    assert "interrupted; nothing was changed" in err
    assert "Traceback" not in err
    assert [path.name for path in workspace.iterdir()] == ["loaded.txt"]
    assert scratch(workspace) == []


def test_a_runtime_puts_one_targets_artifact_into_the_kit_of_another(edgepack: Build, build: Build) -> None:
    done = build("--target", "twin", "--runtime", "framed", "--precision", "float32", "--json")
    assert done.code == 0, done.err
    plain, framed = done.json["bundles"]
    assert (plain["target"], framed["target"]) == ("fake", "twin-framed")
    folder = Path(framed["path"])
    assert folder.name == "fake_models-1.0.0-twin-framed-float32"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["target"], manifest["runtime"]) == ("twin", "framed")
    assert manifest["backends"] == {"frame": ""}
    assert "--runtime framed" in manifest["command"]
    assert (folder / "frame.txt").read_text() == "around model.json by framed\n"
    assert (folder / "model.json").read_bytes() == (Path(plain["path"]) / "model.json").read_bytes()
    inspected = edgepack("inspect", folder)
    assert inspected.code == 0
    assert "requires: numpy 2" in inspected.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--runtime", "other", "--target", "twin"), "None of the targets has a runtime 'other'"),
        (("--runtime", "framed"), "None of the targets has a runtime 'framed'"),
        (("--runtime", "framed", "--target", "twin"), "The target 'twin-framed' has no precision 'int8'"),
    ],
)
def test_a_runtime_that_is_not_there_or_cannot_is_refused(
    build: Build, flags: tuple[str, ...], words: str
) -> None:
    done = build(*flags)
    assert done.code == 2
    assert words in done.err
