"""For how long a student learns, and how fast: on one that gains nothing, or all that it can at once."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgepack.compress import distil
from edgepack.events import Step
from edgepack.spec import Arrays

LOOKS = [{"x": np.array([[value, 1.0]])} for value in (0.0, 2.0)]
LESSON = SimpleNamespace(trials=LOOKS, batch=lambda count, number: LOOKS)
SECONDS = 6.0


class Slow:
    """Answers with ``off`` too much; a step takes 20 ms and makes that ``gain`` of itself."""

    now = 0.0

    def __init__(self, gain: float) -> None:
        self.off, self.gain, self.rates = 1.0, gain, [0.0]

    def teach(self, inputs: Arrays) -> Arrays:
        return inputs

    def __call__(self, inputs: Arrays) -> Arrays:
        return {"x": inputs["x"] + self.off}

    def learn(self, batch: list[Arrays], rate: float) -> float:
        Slow.now += 0.02
        self.rates.append(rate)
        self.off *= self.gain
        return self.off

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.off))

    def restore(self, path: Path) -> None:
        self.off = json.loads(path.read_text())


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distil, "time", SimpleNamespace(monotonic=lambda: Slow.now))


def learn(student: Slow, folder: Path, seconds: float = SECONDS) -> distil.Progress:
    return distil.distil(student, LESSON, seconds, folder, Step("compress"))  # type: ignore[arg-type]


def test_it_ends_where_nothing_comes_of_it(tmp_path: Path) -> None:
    student = Slow(gain=1.1)
    progress = learn(student, tmp_path)
    looks = distil.PATIENCE * (1 + distil.FALLS)
    assert progress.idle == looks
    assert progress.seconds == pytest.approx(looks * SECONDS / distil.LOOKS, abs=0.05)
    assert student.off == 1.0  # as it was before: that was the best


def test_before_it_ends_it_tries_more_slowly(tmp_path: Path) -> None:
    student = Slow(gain=1.0)
    learn(student, tmp_path)
    assert student.rates[-1] <= distil.RATE / distil.FALL**distil.FALLS


def test_it_takes_its_time_where_it_gains(tmp_path: Path) -> None:
    student = Slow(gain=0.99)
    progress = learn(student, tmp_path)
    assert progress.seconds >= SECONDS
    assert (progress.idle, progress.falls) == (0, 0)
    assert student.off < 1.0
    assert max(student.rates) == pytest.approx(distil.RATE, rel=0.1)


def test_it_goes_on_from_where_it_was(tmp_path: Path) -> None:
    first = learn(Slow(gain=0.99), tmp_path)
    again = learn(student := Slow(gain=0.99), tmp_path, 2 * SECONDS)
    assert again.steps > first.steps
    assert student.off < 0.99 ** (first.steps + 1)


def test_answers_that_are_not_finite_are_left_as_they_are(tmp_path: Path) -> None:
    student = Slow(gain=1.0)
    student.off = float("nan")
    with np.errstate(invalid="ignore"):
        assert np.isnan(learn(student, tmp_path).error)


def test_a_rate_is_relative_to_size_width_and_depth() -> None:
    narrow, wide = np.full((5, 4), 0.5), np.full((5, 16), 0.5)
    wide[:, 3] = 0  # what is zero does not count
    assert distil.spans([narrow]) == [pytest.approx(0.5 / 2)]
    assert distil.spans([narrow, wide]) == [pytest.approx(0.5 / 2 / 2), pytest.approx(0.5 / 4 / 2)]
    assert distil.spans([np.full(9, 3.0)]) == [pytest.approx(1.0)]
    assert distil.spans([np.zeros(4)]) == [pytest.approx(distil.NARROWEST / 2)]
