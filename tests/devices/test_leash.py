"""Programs under a leash: they end with their children, whatever becomes of the process that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edgepack.devices.browsers.leash import Leashed

STUBBORN = "trap '' TERM; echo started $$; while :; do sleep 0.1; done"
FAMILY = f'sh -c "{STUBBORN.replace("$", chr(92) + "$")}" & echo parent $$; wait'


def is_running(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def start() -> Iterator[Callable[[str], Leashed]]:
    started: list[Leashed] = []

    def run(script: str) -> Leashed:
        started.append(Leashed(["sh", "-c", script], dict(os.environ)))
        return started[-1]

    yield run
    for each in started:
        each.close()


def number_of(program: Leashed, pattern: str) -> int:
    found = program.says(pattern, 30)
    assert found is not None, program.said
    return int(found[1])


@pytest.mark.parametrize("how", ["close", "kill"])
def test_it_ends_with_its_children_though_they_will_not(start: Callable[[str], Leashed], how: str) -> None:
    program = start(FAMILY)
    parent, child = number_of(program, r"parent (\d+)"), number_of(program, r"started (\d+)")
    getattr(program, how)()
    program.wait()
    wait_for(lambda: not is_running(parent) and not is_running(child))


def test_closed_it_does_nothing_any_more(start: Callable[[str], Leashed], tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = start(f"trap '' TERM; (while :; do echo on >> {log}; done) & echo started; wait; sleep 60")
    assert program.says("started", 30)
    program.close()
    size = log.stat().st_size
    time.sleep(0.3)
    assert log.stat().st_size == size


def test_the_children_of_one_that_ends_by_itself_end_too(start: Callable[[str], Leashed]) -> None:
    program = start(f"({STUBBORN}) & sleep 0.5")
    child = number_of(program, r"started (\d+)")
    program.wait()
    wait_for(lambda: not is_running(child))


def test_it_may_tidy_up(start: Callable[[str], Leashed], tmp_path: Path) -> None:
    program = start(f"trap 'touch {tmp_path}/tidy; exit' TERM; echo ready; while :; do sleep 0.1; done")
    assert program.says("ready", 30)
    program.close()
    assert (tmp_path / "tidy").exists()


def test_it_does_not_outlive_the_one_who_started_it() -> None:
    script = (
        "import os, time; from edgepack.devices.browsers.leash import Leashed\n"
        f"program = Leashed(['sh', '-c', {STUBBORN!r}], dict(os.environ))\n"
        "print(program.says(r'started (\\d+)', 30)[1], flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert is_running(child)
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: not is_running(child))


def test_the_end_of_what_it_says_is_kept(start: Callable[[str], Leashed]) -> None:
    program = start("yes begin | head -100000; echo the end >&2")
    program.wait()
    program.close()
    assert program.said.endswith("the end")
    assert len(program.said) < 5000


def test_what_is_never_said_is_not_waited_for(start: Callable[[str], Leashed]) -> None:
    assert start("echo something else").says("number", 30) is None
    assert start("sleep 30").says("number", 0.2) is None


def test_a_program_that_is_not_there_ends_at_once() -> None:
    with closing(Leashed(["/nowhere/at-all"], dict(os.environ))) as program:
        program.wait()
