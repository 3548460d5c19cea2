"""What passes between edgepack and a driver, tried on small drivers that are real programs."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgepack.bundle.manifest import QuantizationEntry, TensorEntry
from edgepack.devices.child import Command
from edgepack.devices.wire import Driver, Limits, driven
from edgepack.errors import EdgepackError, GateError, MissingToolError, ModelError

X = TensorEntry(name="x", shape=(1, 2), dtype="int8", quantization=QuantizationEntry(scale=0.5, zero_point=3))
MASK = TensorEntry(name="the mask", shape=(2,), dtype="bool")
Y = TensorEntry(
    name="y", shape=(1, 2), dtype="int8", quantization=QuantizationEntry(scale=0.25, zero_point=-1)
)
TOTAL = TensorEntry(name="total", shape=(), dtype="int64")

GOOD = """
    say("in int8 1x2 x", "out int8 1x2 y", "ready")
    while data := receive(2):
        send(data)
"""

Play = Callable[..., Any]


def manifest(inputs: tuple[TensorEntry, ...] = (X,), outputs: tuple[TensorEntry, ...] = (Y,)) -> Any:
    return SimpleNamespace(inputs=inputs, outputs=outputs)


MANIFEST = manifest()
PATIENT = Limits(60, 60)


def use(driver: Driver) -> dict[str, Any]:
    return driver({"x": np.array([[0.5, 1.0]], np.float32)})


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a driver with this body, and what ``use`` does with it."""

    def run(
        body: str,
        use: Callable[[Driver], Any] = use,
        manifest: Any = MANIFEST,
        limits: Limits = PATIENT,
        **env: str,
    ) -> Any:
        script = tmp_path / "driver.py"
        script.write_text(PRELUDE + textwrap.dedent(body))
        with driven(Command((sys.executable, str(script)), env, "a cortex-a53"), manifest, limits) as driver:
            return use(driver)

    return run


PRELUDE = """
import os, signal, subprocess, sys, time
receive, err = sys.stdin.buffer.read, lambda text: print(text, file=sys.stderr, flush=True)
def send(data):
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
def say(*lines):
    send("".join(line + "\\n" for line in lines).encode())
"""


def refusal(play: Play, body: str, **options: Any) -> EdgepackError:
    with pytest.raises(EdgepackError) as caught:
        play(body, **options)
    return caught.value


def test_real_values_go_in_as_stored_ones_and_come_back_as_real_ones(play: Play) -> None:
    answer = play(GOOD)
    assert list(answer) == ["y"]
    np.testing.assert_array_equal(
        answer["y"], np.array([[1.25, 1.5]], np.float32)
    )  # (4 + 1) / 4, (5 + 1) / 4


def test_it_answers_again_and_again(play: Play) -> None:
    def many(driver: Driver) -> list[float]:
        return [float(use(driver)["y"][0, 0]) for _ in range(3)]

    assert play(GOOD, many) == [1.25, 1.25, 1.25]


def test_several_inputs_and_outputs_go_in_the_drivers_own_order(play: Play) -> None:
    answer = play(
        """
        say("in bool 2 the mask", "in int8 1x2 x", "out int64 - total", "out int8 1x2 y", "ready")
        mask, x = receive(2), receive(2)
        send((mask[0] + 10 * mask[1]).to_bytes(8, "little") + x)
        """,
        lambda driver: driver({"x": np.ones((1, 2), np.float32), "the mask": np.array([False, True])}),
        manifest((X, MASK), (Y, TOTAL)),
    )
    assert answer["total"].shape == ()
    assert answer["total"] == 10
    assert answer["total"].dtype == np.int64
    np.testing.assert_array_equal(answer["y"], [[1.5, 1.5]])


def test_a_driver_that_knows_no_names_gives_positions(play: Play) -> None:
    answer = play(GOOD.replace(" x", " 0").replace(" y", " 0"))
    np.testing.assert_array_equal(answer["y"], [[1.25, 1.5]])


def test_facts_are_kept(play: Play) -> None:
    assert play('say("fact arena 1234 bytes")' + textwrap.dedent(GOOD), lambda driver: driver.facts) == {
        "arena": "1234 bytes"
    }


def test_a_driver_has_an_environment_of_its_own(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    body = 'say("fact it " + str(os.environ.get("PYTHONPATH")) + os.environ["OWN"])' + textwrap.dedent(GOOD)
    assert play(body, lambda driver: driver.facts, OWN="1") == {"it": "None1"}


@pytest.mark.parametrize(
    "said",
    [
        "in int8 1x2 z",
        "in int8 2x1 x",
        "in uint8 1x2 x",
        "in int8 1x2 x\\nin int8 1x2 x",
        "in int8 1x2 0\\nin int8 1x2 1",
        "fact nothing at all",
    ],
)
def test_other_inputs_than_the_manifests_are_refused(play: Play, said: str) -> None:
    error = refusal(play, f'say("{said}", "out int8 1x2 y", "ready"); receive()')
    assert isinstance(error, ModelError)
    assert "the manifest says x: int8[1x2]" in error.message


def test_other_outputs_are_refused(play: Play) -> None:
    error = refusal(play, GOOD.replace("out int8 1x2 y", "out float32 1x2 y"))
    assert (
        error.message == "The runtime there has the outputs y: float32[1x2]; the manifest says y: int8[1x2]."
    )


def test_a_type_that_is_no_number_is_refused(play: Play) -> None:
    text = manifest((X.model_copy(update={"dtype": "object"}),))
    assert (
        "of a type that no driver takes"
        in refusal(play, GOOD.replace("in int8", "in object"), manifest=text).message
    )


@pytest.mark.parametrize("noise", ["INFO: Created a delegate", "in int8", "in int8 axb x", "\\xff" * 20_000])
def test_noise_on_stdout_is_told(play: Play, noise: str) -> None:
    error = refusal(play, f'say("{noise}"); receive()')
    assert isinstance(error, ModelError)
    assert error.message.startswith("The driver says what is not understood: ")
    assert len(error.message) < 200


def test_noise_without_an_end_is_told(play: Play) -> None:
    assert "not understood" in refusal(play, 'while True: say("fact more more")').message


def test_a_short_answer_is_no_answer(play: Play) -> None:
    error = refusal(play, 'say("in int8 1x2 x", "out int8 1x2 y", "ready"); send(receive(1))')
    assert isinstance(error, GateError)
    assert error.message == "it gave 1 bytes of y, which has 2"


def test_a_long_answer_is_none_either(play: Play) -> None:
    error = refusal(play, 'say("in int8 1x2 x", "out int8 1x2 y", "ready"); send(receive(2) + b"more")')
    assert isinstance(error, GateError)
    assert error.message == "it gave more bytes than its outputs have"


@pytest.mark.parametrize(("code", "doing"), [(3, "load"), (4, "run")])
def test_the_driver_says_why_it_cannot(play: Play, code: int, doing: str) -> None:
    told = refusal(
        play, f'err("noise"); err("error: no kernel for CONV_9D"); err("hint: Buy one."); sys.exit({code})'
    )
    assert (told.kind, told.message, told.hint) == ("model", "no kernel for CONV_9D", "Buy one.")
    assert told.details == "noise"
    untold = refusal(play, f"sys.exit({code})")
    assert untold.message == f"The runtime there cannot {doing} the artifact."


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGILL)", "instructions that a cortex-a53 lacks"),
        (
            'err("qemu: uncaught target signal 4 (Illegal instruction) - core dumped"); sys.exit(132)',
            "a cortex-a53 lacks",
        ),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed there (SIGSEGV)"),
        (
            'err("qemu: uncaught target signal 11 (Segmentation fault)"); sys.exit(139)',
            "crashed there (SIGSEGV)",
        ),
        ("os.kill(os.getpid(), signal.SIGKILL)", "want of memory"),
        ('err("terminate called: std::bad_alloc"); os.abort()', "want of memory"),
        ("raise MemoryError", "want of memory"),
        ("sys.exit(9)", "ended unexpectedly (exit code 9)"),
        ("sys.exit(0)", "ended unexpectedly (exit code 0)"),
    ],
)
@pytest.mark.parametrize("when", ["loading", "running"])
def test_how_it_ended_is_said_in_words(play: Play, ends: str, words: str, when: str) -> None:
    body = (
        ends if when == "loading" else f'say("in int8 1x2 x", "out int8 1x2 y", "ready"); receive(1); {ends}'
    )
    error = refusal(play, body)
    assert isinstance(error, GateError if (when, ends) == ("running", "sys.exit(0)") else ModelError)
    assert words in error.message or isinstance(error, GateError)


@pytest.mark.parametrize("when", ["loading", "running"])
def test_one_that_hangs_is_killed_with_its_children(play: Play, tmp_path: Path, when: str) -> None:
    limits = Limits(8, 60) if when == "loading" else Limits(60, 8)
    error = refusal(play, ("" if when == "loading" else READY) + hanging(tmp_path), limits=limits)
    assert isinstance(error, ModelError)
    assert "s, and was stopped" in error.message
    assert not alive(int((tmp_path / "child").read_text()))


def test_one_that_has_answered_but_does_not_end_is_killed_for_good(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgepack.devices.wire.ENDING", 8.0)
    play(READY + "send(receive(2))" + hanging(tmp_path))
    assert not alive(int((tmp_path / "child").read_text()))


READY = 'say("in int8 1x2 x", "out int8 1x2 y", "ready")\n'


def hanging(folder: Path) -> str:
    """Start a child that runs on, leave its number in the folder, and hang."""
    return textwrap.dedent(f"""
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open({str(folder / "child")!r}, "w").write(str(child.pid))
        time.sleep(600)
    """)


def test_it_is_killed_when_its_user_fails(play: Play) -> None:
    def fail(driver: Driver) -> None:
        seen.append(int(driver.facts["pid"]))
        raise KeyError("the user's own")

    seen: list[int] = []
    with pytest.raises(KeyError):
        play('say(f"fact pid {os.getpid()}")' + textwrap.dedent(GOOD) + "time.sleep(600)", fail)
    assert not alive(seen[0])


def test_only_the_last_of_what_it_says_is_kept(play: Play) -> None:
    error = refusal(play, 'for _ in range(200): err("x" * 10_000)\nerr("error: the last"); sys.exit(3)')
    assert error.message == "the last"
    assert len(error.details) <= 8_000


def test_what_does_not_start_is_missing() -> None:
    with (
        pytest.raises(MissingToolError, match="/no/qemu does not start"),
        driven(Command(("/no/qemu",)), manifest()),
    ):
        pass


def alive(pid: int) -> bool:
    """Whether it runs; one that has ended and that nobody has asked about does not."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return False
        if state == "Z":
            return False
        time.sleep(0.05)
    return True
