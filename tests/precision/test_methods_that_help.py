"""Which of the methods that are tried for integers stay; here a state is an error that is added to all answers."""

import numpy as np
import pytest

from edgepack.events import Step
from edgepack.precision.improve import FEWEST, improve
from edgepack.precision.notes import Note


def samples(count):
    drawn = np.random.default_rng(3).normal(size=(count, 4)).astype(np.float32)
    return [{"x": row} for row in drawn]


def original():
    return lambda sample: {"y": sample["x"]}


def made(state):
    return lambda sample: {"y": sample["x"] + np.float32(state) * sample["x"].max()}


def to(state):
    return lambda before, fit, check: (state, [Note("conv", "some", 1, 2)])


def tried(methods, count=40, unrounded=()):
    step = Step("improve int8")
    state, notes = improve(1.0, methods, samples(count), original, made, dict(unrounded), step)
    return state, notes, step.detail


def test_what_helps_stays_and_what_does_not_goes():
    state, notes, told = tried({"biases": to(0.5), "rounding": to(0.7), "ranges": to(0.25)})
    assert state == 0.25
    assert [note.method for note in notes if not note.where and note.kept] == ["biases", "ranges"]
    assert told.endswith("by biases, ranges")


def test_what_a_method_did_to_a_tensor_is_kept_as_the_method_is():
    _, notes, _ = tried({"biases": to(0.5), "rounding": to(0.7)})
    assert [note.kept for note in notes if note.where == "conv"] == [True, False]


def test_a_method_that_finds_nothing_to_do_is_not_measured():
    state, notes, _ = tried({"equalise": lambda before, fit, check: (before, [])})
    assert (state, notes) == (1.0, [])


@pytest.mark.parametrize(("state", "stays"), [(0.995, False), (0.98, True)])
def test_too_little_is_worth_nothing(state, stays):
    assert tried({"biases": to(state)})[0] == (state if stays else 1.0)


def test_methods_see_three_of_four_samples_and_are_measured_by_the_fourth():
    seen = {}

    def look(before, fit, check):
        seen["fit"], seen["check"] = list(fit), list(check)
        return before, []

    every = samples(16)
    improve(1.0, {"biases": look}, every, original, made, {}, Step("improve int8"))
    assert seen["check"] == every[3::4]
    assert [each for each in every if not any(each is other for other in seen["check"])] == seen["fit"]


def test_no_output_may_lose_by_what_another_gains():
    def original():
        return lambda sample: {"y": sample["x"], "z": sample["x"]}

    def made(state):
        return lambda sample: {"y": sample["x"] * (1 + state), "z": sample["x"] * (1.5 - state)}

    step = Step("improve int8")
    assert improve(0.5, {"biases": to(0.001)}, samples(40), original, made, {}, step)[0] == 0.5


def test_too_few_samples_leave_all_as_it_is():
    state, notes, told = tried({"biases": to(0.1)}, FEWEST - 1)
    assert state == 1.0
    assert [note.skipped for note in notes] == ["7 calibration samples, 8 needed"]
    assert told == "skipped: 7 calibration samples, 8 needed"


def test_layers_passed_over_are_told_one_by_one_and_each_reason_once():
    unrounded = {"a": "wide", "b": "shared", "c": "wide", "d": "wide", "e": "wide"}
    _, notes, told = tried({}, unrounded=unrounded)
    assert [note.where for note in notes] == ["a", "b", "c", "d", "e", "", ""]
    assert [note.skipped for note in notes[-2:]] == ["wide: a, c, d and 1 more", "shared: b"]
    assert told.endswith(" dB; 5 layers are not for rounding")
    assert tried({}, FEWEST - 1, unrounded)[1][0].method == "all"
