"""Which channels go: those that the layers which read them miss least, by least squares that brute force can check."""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from edgepack.compress import channels
from edgepack.compress.recover import Moments, Problem
from edgepack.compress.student import Group
from edgepack.errors import InternalError, ModelError
from edgepack.events import Event, Warned
from edgepack.spec import Array

PLUGIN = Path(__file__).parents[1] / "fake_plugin"
RNG = np.random.default_rng(0)


def problem(columns: int, rows: int = 5) -> Problem:
    inputs = RNG.normal(size=(400, columns)) @ RNG.normal(size=(columns, columns))
    gram, mean = inputs.T @ inputs / 400, inputs.mean(0)
    return Problem.of(RNG.normal(size=(rows, columns)), Moments(gram, gram, mean, mean, 400), 1e-9, False)


def group(**columns: Array) -> Group:
    return Group({}, columns)


def without(found: Problem, gone: Array) -> float:
    """The least error without some columns, relative to the output, by solving anew."""
    stay = np.setdiff1d(np.arange(len(found.hessian)), gone)
    weight = np.zeros_like(found.target)
    weight[:, stay] = found.restricted(np.arange(len(weight)), stay).target
    return found.error(weight) / found.energy


def test_the_first_to_go_is_the_one_without_which_all_readers_do_best() -> None:
    problems = {"one": problem(12), "other": problem(18)}
    columns = {"one": np.arange(12).reshape(6, 2), "other": RNG.permutation(18).reshape(6, 3)}
    order, errors = channels.in_order(group(**columns), problems)

    def cost(gone: list[int]) -> float:
        return sum(without(problems[name], columns[name][gone].ravel()) for name in problems)

    assert cost([int(order[0])]) == pytest.approx(min(cost([channel]) for channel in range(6)))
    assert sorted(order.tolist()) == list(range(6))
    for count in (1, 3, 6):
        assert errors[count] == pytest.approx(cost(order[:count].tolist()), rel=1e-4)
    assert cost(order[:3].tolist()) <= np.median([cost(list(each)) for each in combinations(range(6), 3)])


def test_large_groups_go_several_at_once() -> None:
    found = {"reader": problem(200)}
    order, errors = channels.in_order(group(reader=np.arange(200)[:, None]), found)
    assert sorted(order.tolist()) == list(range(200))
    assert errors[100] == pytest.approx(without(found["reader"], order[:100]), rel=1e-3)
    assert (np.diff(errors) >= -1e-9).all()


@pytest.fixture
def student(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sys, "path", [str(PLUGIN), *sys.path])
    import fake_models

    return fake_models.Taught("x", (1, 12)).student()


def samples(count: int) -> list[dict[str, Array]]:
    return [{"x": RNG.normal(size=(1, 12)).astype(np.float32)} for _ in range(count)]


def test_the_student_is_left_as_it_was(student) -> None:  # type: ignore[no-untyped-def]
    before = student.weight("scores")
    groups = channels.open_to(student, student.layers, ())
    gone = channels.choose(student, groups, 0.4, samples(60), samples(10), lambda: samples(200))
    np.testing.assert_allclose(student.weight("scores"), before, atol=1e-6)
    (each,) = gone.values()
    assert len(each) == 7  # of 16: both layers lose their share
    found = channels.amounts(student.layers, gone)
    assert found["hidden"].rows == found["scores"].columns == tuple(each.tolist())
    assert found["hidden"].columns == found["scores"].rows == ()


def test_layers_that_keep_their_channels_are_named(student, events: list[Event]) -> None:  # type: ignore[no-untyped-def]
    channels.open_to(student, student.layers, ())
    (told,) = (event.text for event in events if isinstance(event, Warned))
    assert told.startswith("1 of 2 layers keep all their channels")
    assert told.endswith("kept: scores.")


def test_of_many_the_first_are_named_and_the_others_counted(  # type: ignore[no-untyped-def]
    student, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "NAMED", 0)
    channels.open_to(student, student.layers, ())
    (told,) = (event.text for event in events if isinstance(event, Warned))
    assert told.endswith(" and 1 more.")


@pytest.mark.parametrize("keep", ["hidden", "scores"])
def test_channels_of_a_layer_that_is_kept_stay(student, keep: str) -> None:  # type: ignore[no-untyped-def]
    chosen = [layer for layer in student.layers if layer.name != keep]
    with pytest.raises(ModelError, match="No channels can be removed"):
        channels.open_to(student, chosen, (keep,))


def test_a_channel_that_is_read_after_all_is_noticed(student) -> None:  # type: ignore[no-untyped-def]
    groups = channels.open_to(student, student.layers, ())
    with pytest.raises(InternalError, match="'scores' is another"):
        channels.slim(student, {groups[0]: np.array([3])}, samples(2))
