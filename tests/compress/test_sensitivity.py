"""Where a budget is spent: at layers that the outputs mind least."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgepack.compress import sensitivity
from edgepack.compress.closed_form import Amount
from edgepack.spec import Array

PLUGIN = Path(__file__).parents[1] / "fake_plugin"


@pytest.fixture
def student(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sys, "path", [str(PLUGIN), *sys.path])
    import fake_models

    return fake_models.Taught("x", (1, 12)).student()


def test_a_budget_is_met_and_the_student_is_left_as_it_was(student) -> None:  # type: ignore[no-untyped-def]
    samples = [{"x": np.random.default_rng(n).normal(size=(1, 12)).astype(np.float32)} for n in range(60)]
    before = {layer.name: student.weight(layer.name) for layer in student.layers}
    moments = student.moments(list(before), samples)
    stays = {layer.name: Amount().stays(layer) for layer in student.layers}
    ratios = sensitivity.ratios(student, student.layers, moments, 0.6, samples[:10], stays)
    gone = sum(round(ratios[name] * weight.size) for name, weight in before.items())
    assert gone == round(0.6 * sum(weight.size for weight in before.values()))
    assert max(ratios.values()) <= 0.81
    for name, weight in before.items():
        np.testing.assert_allclose(student.weight(name), weight, atol=1e-6)


def test_distance_is_relative_to_how_much_the_answers_vary() -> None:
    taught = [{"y": np.array([[value]])} for value in (0.0, 2.0)]
    answers = [{"y": np.array([[value]])} for value in (1.0, 2.0)]
    assert sensitivity.distance(answers, taught) == pytest.approx(0.5)
    assert sensitivity.distance(taught, taught) == 0


def test_probabilities_of_a_sure_sample_count_no_more_than_others() -> None:
    def softmax(*logits: float) -> dict[str, Array]:
        powers = np.exp(np.array([logits]))
        return {"y": powers / powers.sum()}

    taught = [softmax(9, 0, 0), softmax(0, 1, 0), softmax(0, 0, 1)]
    moved = [
        [*taught[:place], softmax(*other), *taught[place + 1 :]]
        for place, other in ((0, (10, 0, 0)), (1, (0, 2, 0)))
    ]
    assert sensitivity.distance(moved[0], taught) == pytest.approx(sensitivity.distance(moved[1], taught))
