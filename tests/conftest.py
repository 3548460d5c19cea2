"""Fixtures of the core suite: a fake target from a real entry point, a folder to work in, the command as a process."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from edgepack.events import Event, listening

PLUGIN = Path(__file__).parent / "fake_plugin"

settings.register_profile("core", deadline=None, max_examples=50)  # a busy machine is no failure
settings.load_profile("core")
signal.signal(
    signal.SIGINT, signal.default_int_handler
)  # a shell's background job ignores it, and so would its children


@dataclass(frozen=True)
class Ended:
    """A command that ran."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """All of stdout as one JSON document."""
        return json.loads(self.out)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, empty; caches stay inside it, the fake target is installed, imports do not leak out."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(PLUGIN))
    monkeypatch.setenv("COLUMNS", "200")  # so that messages are not folded
    monkeypatch.setattr(sys, "path", [str(PLUGIN), *sys.path])
    modules = dict(sys.modules)
    yield folder
    for name in set(sys.modules) - set(modules):
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith((str(tmp_path), str(PLUGIN))):
            del sys.modules[name]


@pytest.fixture
def edgepack(workspace: Path) -> Callable[..., Ended]:
    """Run the command in a process of its own."""

    def run(*args: object, **env: str) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "edgepack", *map(str, args)],
            capture_output=True,
            text=True,
            env={**os.environ, **env},
            timeout=600,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def fake() -> Callable[[str], str]:
    """``fake("build")``: the reference of something in fake_models.py."""
    return lambda name: f"{PLUGIN / 'fake_models.py'}:{name}"


@pytest.fixture
def build(edgepack: Callable[..., Ended], fake: Callable[[str], str]) -> Callable[..., Ended]:
    """Run ``edgepack build`` for the fake target."""

    def run(*args: object, source: str = "build", data: str = "samples", **env: str) -> Ended:
        return edgepack("build", fake(source), "--data", fake(data), "--target", "fake", *args, **env)

    return run


@pytest.fixture
def events() -> Iterator[list[Event]]:
    """All that is reported during the test."""
    heard: list[Event] = []
    with listening(heard.append):
        yield heard


@pytest.fixture
def is_whole() -> Callable[[Path], bool]:
    """Whether a bundle has exactly the files that its manifest lists, each with the listed hash and size."""

    def check(bundle: Path) -> bool:
        listed = json.loads((bundle / "manifest.json").read_text())["files"]
        found = {
            path.relative_to(bundle).as_posix(): path
            for path in bundle.rglob("*")
            if path.is_file() and path != bundle / "manifest.json"
        }
        return sorted(found) == sorted(entry["path"] for entry in listed) and all(
            hashlib.sha256(found[entry["path"]].read_bytes()).hexdigest() == entry["sha256"]
            and found[entry["path"]].stat().st_size == entry["bytes"]
            for entry in listed
        )

    return check


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped on CI: {report.longrepr[2]}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """On CI nothing may be skipped: a skipped test is one that nobody runs."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    """The same for whole files."""
    report = yield
    _refuse_skip(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what was skipped, by name."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section("not run")
    for report in skipped:
        terminalreporter.line(report.nodeid)
