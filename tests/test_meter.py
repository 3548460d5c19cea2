"""What targets measure with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgepack.meter import PeakMemory, timed

MB = 1_000_000
needs_proc = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")


def test_every_call_is_timed() -> None:
    called: list[int] = []
    seconds = timed(lambda: called.append(1), 4)
    assert len(called) == len(seconds) == 4
    assert min(seconds) >= 0


@needs_proc
def test_memory_is_the_rise_to_the_highest_not_what_is_left() -> None:
    memory = PeakMemory()
    bytearray(80 * MB)
    assert memory.bytes is not None
    assert 75 * MB < memory.bytes < 120 * MB


@needs_proc
def test_what_was_taken_before_does_not_count() -> None:
    kept = bytearray(80 * MB)
    bytearray(200 * MB)
    memory = PeakMemory()
    assert memory.bytes is not None
    assert memory.bytes < 40 * MB
    assert kept


@needs_proc
def test_the_memory_of_another_process() -> None:
    code = "input(); held = bytearray(80_000_000); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        memory = PeakMemory(other.pid)
        other.stdin.write(b"\n")
        other.stdin.flush()
        other.stdout.readline()
        assert memory.bytes is not None
        assert 75 * MB < memory.bytes < 120 * MB
        other.communicate(b"\n")


def test_a_system_that_does_not_tell_is_not_guessed() -> None:
    assert PeakMemory(pid=-1).bytes is None
