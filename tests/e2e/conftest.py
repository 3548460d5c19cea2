"""``edgepack build`` as users run it: a process, its exit code, its JSON, what it says on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PACKAGES = ("/edgepack/", "/site-packages/")
ZOO = Path(__file__).with_name("zoo.py")


@dataclass(frozen=True)
class Ended:
    """A build that ended."""

    code: int
    out: str
    err: str

    @cached_property
    def bundle(self) -> dict[str, Any]:
        """The entry of the one target."""
        (bundle,) = json.loads(self.out)["bundles"]
        return bundle

    @property
    def error(self) -> dict[str, str]:
        """{kind, message, hint}, wherever it is told."""
        document = json.loads(self.out)
        return document.get("error") or document["bundles"][0]["error"]

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        return self.bundle["parity"]["host"]["outputs"]

    def agreement(self, one: str, other: str) -> list[dict[str, Any]]:
        """How far two targets' answers agree, output by output."""
        (found,) = (
            each for each in json.loads(self.out)["agreements"] if set(each["targets"]) == {one, other}
        )
        return list(found["outputs"].values())

    @property
    def islands(self) -> set[str]:
        return {island["kind"] for island in self.bundle["audit"]["float_islands"]}

    @property
    def said(self) -> str:
        """All of stderr in one line: messages are folded to the terminal's width."""
        return " ".join(self.err.split())


@pytest.fixture
def build(tmp_path, tmp_path_factory):
    """Run ``edgepack build SOURCE ... --json`` in an empty folder. A plain name that is no file is one of the zoo's.

    The cache is the session's own: what a target fetches is fetched once.
    """
    cache = tmp_path_factory.getbasetemp() / "cache"

    def named(name: object) -> object:
        return f"{ZOO}:{name}" if str(name).isidentifier() and not (tmp_path / str(name)).exists() else name

    def run(source: object, data: object, *flags: object) -> Ended:
        source, data = named(source), named(data)
        command = [sys.executable, "-m", "edgepack", "build", source, "--data", data, "--json", *flags]
        done = subprocess.run(
            list(map(str, command)),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "200", "XDG_CACHE_HOME": str(cache)},
            timeout=600,
        )
        # a traceback is shown for the user's own code alone: no frame of ours, none of a framework
        assert not [
            line
            for line in done.stderr.splitlines()
            if 'File "' in line and any(name in line for name in PACKAGES)
        ], done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def passes(build, tmp_path):
    """Run a build that must pass under the default gate, and look whether a whole bundle is there."""

    def run(*arguments: object) -> Ended:
        ended = build(*arguments)
        assert ended.code == 0, ended.err
        assert ended.bundle["error"] is None
        assert ended.bundle["gate"]["passed"]
        folder = tmp_path / ended.bundle["path"]
        own = {
            "tflite": {"model.tflite", "kit"},
            "tfjs": {"model.json", "index.html", "edgepack.js", "runtime"},
        }
        assert {"manifest.json", "report.html", "golden"} | own[ended.bundle["target"]] <= {
            path.name for path in folder.iterdir()
        }
        return ended

    return run


@pytest.fixture
def refused(build, tmp_path):
    """Run a build that must not meet its gate: exit 1, nothing shipped, the worst layers named."""

    def run(*arguments: object) -> Ended:
        ended = build(*arguments)
        assert ended.code == 1, ended.err
        assert ended.error["kind"] == "gate"
        assert not list((tmp_path / "dist").glob("*"))
        assert (tmp_path / ended.bundle["path"] / "report.html").is_file()
        assert "Worst layers" in ended.said
        return ended

    return run


@pytest.fixture
def rows(tmp_path):
    """An .npz of 24 samples: ``rows(x=(4,))`` gives its path."""

    def write(count: int = 24, **shapes: tuple[int, ...]) -> Path:
        rng = np.random.default_rng(0)
        arrays = {
            name: rng.uniform(-1, 1, (count, *shape)).astype(np.float32) for name, shape in shapes.items()
        }
        np.savez(tmp_path / "samples.npz", **arrays)
        return tmp_path / "samples.npz"

    return write
