"""A processor that computes wrongly is caught: QEMU 7.2 emulates SME, which LiteRT then uses, with an error in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgepack import devices, registry
from edgepack.devices.setup import debian, debs, installation, parts
from edgepack.devices.setup.installation import Installable
from edgepack.devices.setup.qemu import Qemu
from edgepack.devices.setup.userland import Userland
from edgepack.errors import MissingToolError

DIGITS = Path(__file__).parents[2] / "samples" / "digits"

CPUINFO = """\
processor\t: 0
Features\t: fp asimd evtstrm crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1
"""
"""QEMU 7.2 shows a program that of this machine, and LiteRT does not survive it."""


def run(folder: Path, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgepack", *map(str, arguments), "--json"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, **env}, timeout=600
    )


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's int8 bundle."""
    out = tmp_path_factory.mktemp("digits")
    done = run(DIGITS, "build", "--target", "tflite", "--out", out)
    assert done.returncode == 0, done.stderr
    return Path(json.loads(done.stdout)["bundles"][0]["path"])


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the installed board has an old emulator."""
    cache = tmp_path_factory.mktemp("faulty")
    board = devices.find("raspberry-pi-5")
    assert isinstance(board, Installable)
    try:
        installation.install(board, registry.target("tflite"))
        (old,) = debian.download(("qemu-user-static",), "bookworm", "", cache / "old")
    except MissingToolError as missing:
        pytest.skip(f"{missing.message} {missing.details}")
    for part in board.parts(registry.target("tflite")):
        place = cache / "edgepack" / "devices" / parts.folder(part).name
        shutil.copytree(parts.folder(part), place, symlinks=True)
        if isinstance(part, Userland):
            (place / "proc").mkdir()
            (place / "proc" / "cpuinfo").write_text(CPUINFO)
        if isinstance(part, Qemu):
            program = "usr/bin/qemu-aarch64"
            debs.unpack(old, place, f"{program}-static".__eq__, 1)
            (place / f"{program}-static").replace(place / program)
    return cache


def verify(folder: Path, bundle: Path, faulty: Path, cpu: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and what the one backend of a processor of the old emulator did."""
    (folder / "edgepack.toml").write_text(f'[device.newest]\nlike = "raspberry-pi-5"\ncpu = "{cpu}"\n')
    done = run(folder, "verify", bundle, "--device", "newest", "--trace", XDG_CACHE_HOME=str(faulty))
    (backend,) = json.loads(done.stdout)["devices"]["newest"]["backends"].values()
    return done.returncode, backend


def test_wrong_int8_turns_the_gate_red_and_the_layer_is_named(
    tmp_path: Path, digits: Path, faulty: Path
) -> None:
    code, backend = verify(tmp_path, digits, faulty, "max,sme=on")
    assert code == 1
    assert not backend["beside_host"]["probabilities"]["passed"]
    assert any("argmax_agreement" in failure for failure in backend["failures"])
    assert any("by this machine's kernels" in failure for failure in backend["failures"])
    assert "re_lu" in backend["trace"]["layer"]
    assert "The first of 9 layers that differs is number 1" in backend["trace"]["words"]


def test_without_the_faulty_instructions_it_has_the_bits_of_this_machine(
    tmp_path: Path, digits: Path, faulty: Path
) -> None:
    code, backend = verify(tmp_path, digits, faulty, "max")
    assert code == 0
    assert backend["beside_host"]["probabilities"]["passed"]
