"""Events and what a person sees of them."""

from __future__ import annotations

import pytest

from edgepack.console import Console, format_bytes
from edgepack.errors import InternalError, UsageError
from edgepack.events import Event, StepAdvanced, StepEnded, StepStarted, Warned, listening, step, warn


def test_a_step_reports_its_start_and_its_end(events: list[Event]) -> None:
    with step("load") as loading:
        loading.detail = "3 inputs"
    started, ended = events
    assert started == StepStarted("load")
    assert isinstance(ended, StepEnded)
    assert (ended.name, ended.ok, ended.detail) == ("load", True, "3 inputs")
    assert 0 <= ended.seconds < 10


def test_a_step_that_fails_says_so_and_does_not_swallow(events: list[Event]) -> None:
    with pytest.raises(ZeroDivisionError), step("load"):
        raise ZeroDivisionError
    assert [event.ok for event in events if isinstance(event, StepEnded)] == [False]


def test_progress_is_reported_ten_times_a_second_at_most(events: list[Event]) -> None:
    with step("golden") as running:
        assert list(running.track(range(100_000), 100_000)) == list(range(100_000))
    advanced = [event for event in events if isinstance(event, StepAdvanced)]
    assert advanced[0] == StepAdvanced("golden", 0, 100_000)
    assert len(advanced) <= 2 + 10 * sum(event.seconds for event in events if isinstance(event, StepEnded))


def test_nobody_need_listen_and_listening_ends_with_its_block() -> None:
    heard: list[Event] = []
    with listening(heard.append):
        warn("inside")
    warn("outside")
    assert heard == [Warned("inside")]


def test_people_see_steps_and_warnings_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with Console() as console:
        draw = console.lane()
        for event in (
            StepStarted("load"),
            StepAdvanced("load", 3, 10),
            StepEnded("load", 1.25, True, "x: float32[1x4]"),
            StepEnded("emit", 0.0, False),
            Warned("only 4 samples"),
        ):
            draw(event)
    said = capsys.readouterr()
    assert said.out == ""
    assert "✓ load" in said.err
    assert "x: float32[1x4]" in said.err  # brackets are no markup
    assert "✗ emit" in said.err
    assert "! only 4 samples" in said.err


def test_an_error_is_shown_with_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    Console().error(UsageError("x[0] does not fit", "mend it", "their traceback"))
    said = capsys.readouterr().err
    assert (
        said.index("error: x[0] does not fit") < said.index("their traceback") < said.index("next:  mend it")
    )


def test_our_own_traceback_is_for_debugging(capsys: pytest.CaptureFixture[str]) -> None:
    error = InternalError("broken", "report it", "our traceback")
    Console().error(error)
    assert "our traceback" not in capsys.readouterr().err
    Console().error(error, debug=True)
    assert "our traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1_234_567, "1.23 MB"),
        (9.87e9, "9.87 GB"),
        (5e12, "5000 GB"),
    ],
)
def test_sizes_are_in_powers_of_ten_as_on_the_box(size: float, text: str) -> None:
    assert format_bytes(int(size)) == text
