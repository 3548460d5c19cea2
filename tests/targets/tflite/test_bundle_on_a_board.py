"""On a board: a bundle, ``pip install edgepack``, and nothing else."""

import json
import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_kit import build, manifest_of

from edgepack.bundle.manifest import GateEntry
from edgepack.bundle.writer import seal, write_zip

ROOT = Path(__file__).parents[3]
BOARD = {"sys_platform": "linux", "platform_machine": "aarch64", "extra": ""}
DENY = """
import json, os, sys
denied = set(json.loads(os.environ["DENIED"]))
class Denier:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in denied:
            raise ModuleNotFoundError(f"not on a board: {name}", name=name)
sys.meta_path.insert(0, Denier)
"""


def needed(requirements):
    """The distributions that pip installs on a board for these requirements."""
    found, waiting = set(), [*requirements]
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name not in found and (requirement.marker is None or requirement.marker.evaluate(BOARD)):
            found.add(name)
            waiting += metadata.requires(name) or []
    return found


@pytest.fixture
def edgepack(tmp_path):
    """Run the command where no package is but those that edgepack itself brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    there = {*needed(project["dependencies"]), "edgepack"}
    denied = [
        module
        for module, packages in metadata.packages_distributions().items()
        if not there & set(map(canonicalize_name, packages))
    ]
    assert {"tensorflow", "keras", "torch", "ai_edge_quantizer", "litert_torch", "pytest"} <= set(denied)
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(DENY)
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "DENIED": json.dumps(denied)}
    forbidden = subprocess.run(
        [sys.executable, "-c", "import torch"], capture_output=True, text=True, env=env
    )
    assert "not on a board: torch" in forbidden.stderr

    def run(*arguments):
        command = [sys.executable, "-m", "edgepack", *map(str, arguments), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=600)
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    return run


@pytest.fixture(params=["picture-int8", "text-float32"])
def bundle(request, tmp_path):
    case, folder = build(request.param, tmp_path)
    precision = request.param.split("-")[1]
    gate = GateEntry(expression="sqnr_db>=15", passed=True)
    seal(folder, manifest_of(case, precision).model_copy(update={"gate": gate}))
    return folder


def test_a_bundle_is_proven_and_looked_into(bundle, edgepack):
    answer = edgepack("verify", bundle)
    assert answer["passed"]
    assert answer["devices"]["host"]["backends"][""]["samples"] == 6
    archive = bundle.with_suffix(".zip")
    write_zip(bundle, archive).rename(archive)
    assert edgepack("verify", archive)["passed"]
    found = edgepack("inspect", bundle)
    assert found["audit"]["ops_total"] > 0
    assert found["manifest"]["target"] == "tflite"
