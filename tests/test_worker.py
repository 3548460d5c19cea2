"""The worker: results and errors cross over, noise does not, and neither process outlives the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgepack import worker
from edgepack.errors import InternalError, UsageError
from edgepack.events import Event, StepAdvanced, StepEnded, StepStarted, Warned

pytestmark = pytest.mark.usefixtures("workspace")
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def run(name: str, *args: object, **options: Any) -> Any:
    import fake_work  # on sys.path by the fixture, on PYTHONPATH for the worker

    options = {"env": {}, "listener": lambda event: None, **options}
    return worker.run(getattr(fake_work, name), *args, **options)


def test_a_result_comes_back() -> None:
    assert run("add", 2, 3) == 5


def test_the_environment_is_set_before_anything_is_imported() -> None:
    assert run("environment", "KERAS_BACKEND", env={"KERAS_BACKEND": "torch"}) == "torch"
    assert "KERAS_BACKEND" not in os.environ


def test_a_worker_is_a_fresh_process_without_what_the_parent_imported() -> None:
    assert "pytest" not in run("modules")


def test_the_current_folder_is_no_place_to_import_from() -> None:
    Path("fake_work.py").write_text("raise RuntimeError('hijacked')")
    Path("numpy.py").write_text("raise RuntimeError('hijacked')")
    assert run("add", 1, 1) == 2


def test_an_error_for_people_passes_through_whole() -> None:
    with pytest.raises(UsageError) as error:
        run("refuse")
    assert (error.value.message, error.value.hint) == ("the data does not fit", "mend it")
    assert error.value.details == "line 1\nline 2"


def test_any_other_error_is_a_fault_of_ours_with_its_traceback() -> None:
    with pytest.raises(InternalError, match="ZeroDivisionError: of ours") as error:
        run("stumble")
    assert "in stumble" in error.value.details


def test_an_error_of_the_system_names_the_file() -> None:
    with pytest.raises(UsageError, match=r"No such file or directory \(no/such/file\)"):
        run("missing_file")


def test_a_killed_worker_is_explained_with_its_last_words() -> None:
    with pytest.raises(InternalError, match="was killed, most likely for want of memory") as error:
        run("die", signal.SIGKILL)
    assert error.value.details == "last words\n"


@pytest.mark.parametrize(
    ("name", "argument", "code"), [("die", signal.SIGSEGV, "-11"), ("leave", 7, "7"), ("leave", 0, "0")]
)
def test_a_worker_that_just_ends_is_explained(name: str, argument: int, code: str) -> None:
    with pytest.raises(InternalError, match=rf"ended unexpectedly \(exit code {code}\)"):
        run(name, argument)


def test_a_result_that_cannot_cross_over_is_no_hang() -> None:
    with pytest.raises(InternalError, match=r"ended unexpectedly") as error:
        run("unpicklable")
    assert "ickle" in error.value.details


def test_events_arrive_in_order_and_before_the_result() -> None:
    heard: list[Event] = []
    assert run("steps", listener=heard.append) == "end"
    kinds = [(type(event), getattr(event, "name", "")) for event in heard]
    assert kinds[:4] == [(StepStarted, "one"), (Warned, ""), (StepEnded, "one"), (StepStarted, "two")]
    assert heard[1] == Warned("look")
    assert (heard[2].ok, heard[2].detail) == (True, "done")  # type: ignore[union-attr]
    assert [event.done for event in heard if isinstance(event, StepAdvanced)] == [0, 1, 2]
    assert kinds[-1] == (StepEnded, "two")


def test_a_workers_prints_reach_neither_stdout_nor_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("chatter") == "result"
    assert capfd.readouterr() == ("", "")


def test_for_debugging_both_reach_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    run("chatter", debug=True)
    said = capfd.readouterr()
    assert said.out == ""
    assert "from C++" in said.err
    assert "and on stderr" in said.err


def is_gone(pid: int) -> bool:
    """A zombie counts as gone: it waits for an init that reaps."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_for(condition: Any, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


@needs_proc
def test_when_the_parent_is_interrupted_the_worker_goes() -> None:
    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("wait", "pid", False, listener=interrupt)
    assert is_gone(int(Path("pid").read_text()))


@needs_proc
@pytest.mark.parametrize("busy", [False, True], ids=["asleep", "busy"])
def test_when_the_parent_is_killed_the_worker_goes_and_takes_its_scratch_along(busy: bool) -> None:
    scratch = Path("scratch")
    scratch.mkdir()
    (scratch / "big.bin").write_bytes(b"\0" * 1000)
    code = (
        "import fake_work; from pathlib import Path; from edgepack import worker; "
        f"worker.run(fake_work.wait, 'pid', {busy}, env={{}}, listener=print, scratch=(Path('scratch'),))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    assert wait_for(Path("pid").exists)
    pid = int(Path("pid").read_text())
    assert not is_gone(pid)
    parent.kill()
    parent.wait()
    assert wait_for(lambda: is_gone(pid))
    assert not scratch.exists()


def hold(*args: object, **options: Any) -> Any:
    import fake_work

    options = {"env": {}, "listener": lambda event: None, **options}
    return worker.hold(fake_work.Counter, *args, **options)


def test_what_is_held_stays_as_it_is_between_questions_also_when_one_cannot_be_answered() -> None:
    from fake_work import Counter

    with hold(5) as held:
        assert held.ask(Counter.add, 1) == 6
        with pytest.raises(UsageError, match="the data does not fit"):
            held.ask(Counter.refuse)
        assert held.ask(Counter.add, 2) == 8


def test_what_cannot_be_made_is_not_held() -> None:
    with pytest.raises(InternalError, match="TypeError"), hold(1, 2, 3):
        pass


def test_a_held_worker_that_is_killed_is_explained() -> None:
    from fake_work import Counter

    with hold(0) as held, pytest.raises(InternalError, match="for want of memory"):
        held.ask(Counter.die)


@needs_proc
def test_a_held_worker_goes_with_its_context() -> None:
    with hold(0, "pid"):
        pid = int(Path("pid").read_text())
        assert not is_gone(pid)
    assert is_gone(pid)


@needs_proc
def test_when_the_parent_is_killed_a_held_worker_goes() -> None:
    Path("scratch").mkdir()
    code = (
        "import fake_work, time; from pathlib import Path; from edgepack import worker\n"
        "with worker.hold(fake_work.Counter, 0, 'pid', env={}, listener=print, scratch=(Path('scratch'),)):\n"
        "    print(flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    parent.stdout.readline()
    pid = int(Path("pid").read_text())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_for(lambda: is_gone(pid))
    assert not Path("scratch").exists()
