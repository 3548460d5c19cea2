"""Computations that wait for each other at every layer, on two matrices in place of a network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edgepack.compress import lockstep
from edgepack.compress.lockstep import Halting, Pair, Stop
from edgepack.errors import ModelError
from edgepack.spec import Array, Arrays

RNG = np.random.default_rng(0)
INPUTS = [RNG.normal(size=(5, 3)) for _ in range(4)]


class Net:
    """x -> first -> second, each a matrix [in, out]."""

    def __init__(self) -> None:
        self.first, self.second = np.eye(3), 2 * np.eye(3)

    def run(self, x: Array, between: Callable[[], None] = lambda: None) -> Callable[[Stop], None]:
        def compute(stop: Stop) -> None:
            stop("first", lambda: x)
            hidden = x @ self.first
            between()
            stop("second", lambda: hidden)

        return compute


BYTES = {"first": [24], "second": [24]}


def walk(student: Net, teacher: Net, input_bytes=BYTES):  # type: ignore[no-untyped-def]
    def begin(once: Sequence[str], samples: Sequence[Arrays]) -> list[Pair]:
        return [(Halting(student.run(each["x"])), Halting(teacher.run(each["x"]))) for each in samples]

    samples = [{"x": each} for each in INPUTS]
    return lockstep.walk(list(input_bytes), samples, begin, lambda name: f"{name} anew", input_bytes, 1)


def test_a_layer_that_is_changed_feeds_the_next_one() -> None:
    student, all_inputs = Net(), np.concatenate(INPUTS)
    found = walk(student, Net())
    name, moments = next(found)
    assert (name, moments.count) == ("first", 20)
    np.testing.assert_allclose(moments.gram, all_inputs.T @ all_inputs / 20)
    student.first = 3 * student.first
    name, moments = next(found)
    assert name == "second"
    np.testing.assert_allclose(moments.gram, 9 * all_inputs.T @ all_inputs / 20)
    np.testing.assert_allclose(moments.cross, 3 * all_inputs.T @ all_inputs / 20)


def test_a_layer_that_computes_several_times_is_asked_anew() -> None:
    told = dict(walk(Net(), Net(), {"first": [24], "loop": [24, 24], "second": [24]}))
    assert list(told) == ["first", "loop", "second"]
    assert told["loop"] == "loop anew"


def test_threads_end_with_the_walk_even_half_way() -> None:
    before = threading.active_count()
    found = walk(Net(), Net())
    next(found)
    assert threading.active_count() == before + 2 * len(INPUTS)
    found.close()
    assert threading.active_count() == before


def test_an_error_in_a_computation_is_the_callers() -> None:
    def fails() -> None:
        raise ZeroDivisionError

    halting = Halting(Net().run(INPUTS[0], fails))
    halting.to("first")
    with pytest.raises(ZeroDivisionError):
        halting.to("second")
    halting.leave()


def test_a_layer_that_is_not_the_next_is_named() -> None:
    halting = Halting(Net().run(INPUTS[0]))
    with pytest.raises(ModelError, match="'second'"):
        halting.to("second")
    halting.leave()


@pytest.mark.parametrize(("largest", "together", "count"), [(1, 16, 300), (1, 1, 60), (1 << 25, 16, 16)])
def test_no_more_samples_wait_than_memory_and_threads_take(largest: int, together: int, count: int) -> None:
    samples = [{"x": np.full(1, index)} for index in range(300)]
    fitting = lockstep._fitting(samples, largest, together)
    assert len(fitting) == count
    assert fitting[-1]["x"][0] >= 280
