"""What tests of ``edgepack verify`` in browsers share: the command as a process, bundles to spoil."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tfjs_bundles import write_bundle

from edgepack import devices
from edgepack.bundle import reader
from edgepack.bundle.manifest import Manifest
from edgepack.bundle.writer import seal
from edgepack.devices.replay import replay


@pytest.fixture
def short():
    """An empty folder for temporary files; browsers make sockets there, whose paths must be short."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def verify(short):
    """Run the command; (its code, its JSON, its stderr)."""

    def run(folder, *names):
        flags = [flag for name in names for flag in ("--device", name)]
        done = subprocess.run(
            [sys.executable, "-m", "edgepack", "verify", str(folder), *flags, "--json"],
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "80", "TMPDIR": str(short)},
            timeout=300,
        )
        return done.returncode, json.loads(done.stdout), done.stderr

    return run


@pytest.fixture
def fresh(tmp_path):
    """A bundle to spoil."""
    write_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def reseal(folder, **changes):
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    seal(folder, manifest.model_copy(update=changes))
    return reader.read(folder)


def on_wasm(device, folder, script):
    """What becomes of a bundle whose kit is this script instead."""
    (folder / "edgepack.js").write_text(script)
    (result,) = replay(devices.find(device), reseal(folder, backends={"wasm": ""})).backends
    return result
