"""Builds that are cut off: at every moment the place holds the old bundle or the new one, whole."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Build = Callable[..., Any]
BUNDLE = Path("dist/it-1.0.0-fake-int8")
KILL_AFTER = """
import os, signal, sys
from edgepack import jobs
from edgepack.events import StepEnded
from edgepack.project import load

def listen(event):
    if isinstance(event, StepEnded) and event.name == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)

jobs.run(load(None, {
    "model": {"source": sys.argv[1], "name": "it"}, "data": {"representative": sys.argv[2]},
    "build": {"targets": ("fake",)},
}), lambda lane: listen)
"""
CTRL_C_BEFORE_THE_WORKER = """
import os, signal, subprocess, time
from edgepack.cli import main

start = subprocess.Popen

def start_late(*args, **options):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.5)  # in a thread of its own; the main one is interrupted
    return start(*args, **options)

subprocess.Popen = start_late
main()
"""


@pytest.fixture
def start(workspace: Path, fake: Callable[[str], str]) -> Callable[..., subprocess.Popen[str]]:
    """Start a build and return at once."""

    def run(*args: str, source: str = "build", **env: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "edgepack", "build", fake(source), "--data", fake("samples")]
        return subprocess.Popen(
            [*command, "--target", "fake", "--name", "it", *args],
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def version() -> str:
    return str(json.loads((BUNDLE / "manifest.json").read_text())["gate"]["expression"])


def leftovers(workspace: Path) -> list[str]:
    cache = workspace.parent / "cache/edgepack/work"
    found = [*Path("dist").glob(".*"), *(path for path in cache.glob("*") if path.suffix != ".lock")]
    return [path.name for path in found]


def wait_for(condition: Callable[[], object], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_killed_at_any_moment_the_old_bundle_or_the_new_one_is_whole(
    build: Build, start: Callable[..., Any], workspace: Path, is_whole: Callable[[Path], bool]
) -> None:
    began = time.monotonic()
    assert build("--name", "it", "--gate", "sqnr_db>=0").code == 0
    whole = time.monotonic() - began
    moments, expected = random.Random(7), "sqnr_db>=0"
    for number in range(1, 7):
        gate = f"sqnr_db>={number}"
        process = start("--gate", gate)
        time.sleep(moments.uniform(0.4, 1.1) * whole)
        process.kill()
        process.communicate()
        assert is_whole(BUNDLE)
        assert version() in (expected, gate)
        expected = version()
    assert build("--name", "it", "--gate", "sqnr_db>=9").code == 0
    assert version() == "sqnr_db>=9"
    assert is_whole(BUNDLE)
    assert leftovers(workspace) == []


@pytest.mark.parametrize("step", ["load", "golden", "emit", "write bundle"])
def test_killed_after_a_step_the_next_build_cleans_up(
    build: Build, fake: Callable[[str], str], workspace: Path, is_whole: Callable[[Path], bool], step: str
) -> None:
    done = subprocess.run([sys.executable, "-c", KILL_AFTER, fake("build"), fake("samples"), step])
    assert done.returncode == -signal.SIGKILL
    assert not BUNDLE.exists()
    assert build("--name", "it").code == 0
    assert is_whole(BUNDLE)
    assert leftovers(workspace) == []


def test_a_killed_build_does_not_hold_its_place(
    start: Callable[..., Any], build: Build, workspace: Path
) -> None:
    process = start(source="slow")
    assert wait_for(lambda: leftovers(workspace))
    process.kill()
    process.communicate()
    assert build("--name", "it").code == 0


def test_ctrl_c_ends_with_130_and_leaves_nothing(start: Callable[..., Any], workspace: Path) -> None:
    process = start("--json", source="slow")
    assert wait_for(lambda: leftovers(workspace))
    time.sleep(0.5)  # into the user's factory
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=50)  # the factory takes longer
    assert process.returncode == 130
    assert "interrupted; nothing was changed" in err
    assert "Traceback" not in err
    assert out == ""
    assert list(workspace.iterdir()) == []
    assert leftovers(workspace) == []


def test_ctrl_c_just_before_a_worker_starts_ends_that_too(
    workspace: Path, fake: Callable[[str], str]
) -> None:
    arguments = ["build", fake("slow"), "--data", fake("samples"), "--target", "fake"]
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C_BEFORE_THE_WORKER, *arguments],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 130
    assert "interrupted; nothing was changed" in done.stderr
    assert leftovers(workspace) == []


def test_a_second_build_into_the_same_place_is_refused(
    start: Callable[..., Any], build: Build, workspace: Path
) -> None:
    first = start(source="waiting")
    assert wait_for(lambda: leftovers(workspace))
    second = build("--name", "it")
    assert second.code == 2
    assert "Another build is writing" in second.err
    assert build("--name", "another").code == 0
    Path("go.txt").touch()
    first.communicate()
    assert first.returncode == 0
    assert BUNDLE.is_dir()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount a disk of so many bytes, where root may."""
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        folder = tmp_path / f"disk{size}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("only root can mount a small disk, and not everywhere")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", [4096, 16384])
def test_a_full_disk_is_told_and_leaves_nothing(
    build: Build, small_disk: Callable[[int], Path], size: int
) -> None:
    disk = small_disk(size)
    done = build("--out", disk / "dist")
    assert done.code == 2
    assert "The disk is full" in done.err or "No space left on device" in done.err
    assert list(disk.iterdir()) == []


def test_a_disk_that_fills_up_while_rebuilding_keeps_the_old_bundle(
    build: Build, small_disk: Callable[[int], Path], is_whole: Callable[[Path], bool]
) -> None:
    disk = small_disk(81920)
    assert build("--out", disk / "dist").code == 0
    (bundle,) = (disk / "dist").iterdir()
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    (disk / "filler").write_bytes(b"\0" * (free - 12288))
    assert build("--out", disk / "dist", "--gate", "sqnr_db>=1").code == 2
    assert is_whole(bundle)
    assert list((disk / "dist").iterdir()) == [bundle]


def test_a_full_cache_is_told(build: Build, small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(4096)
    (disk / "filler").write_bytes(b"\0" * 4096)
    done = build(XDG_CACHE_HOME=str(disk))
    assert done.code == 2
    assert "full" in done.err or "No space left" in done.err
    assert not Path("dist").exists()
