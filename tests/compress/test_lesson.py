"""What is learnt from: most of the samples, changed at random where that makes sense, the same for the same number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepack.compress import augment
from edgepack.compress.lesson import LOOKS, Lesson
from edgepack.records import Records, RecordWriter
from edgepack.spec import Array, Signature, TensorSpec


def signature(*shape: int, dtype: str = "float32") -> Signature:
    return Signature((TensorSpec("x", shape, dtype),), ())


def records(folder: Path, arrays: list[Array]) -> Records:
    with RecordWriter(folder / "some.records") as writer:
        for array in arrays:
            writer.write({"x": array})
    return writer.records


def numbered(count: int) -> list[Array]:
    return [np.full((1, 2), number, np.float32) for number in range(count)]


@pytest.mark.parametrize(("count", "looks"), [(1, 1), (3, 1), (16, 4), (400, LOOKS)])
def test_what_is_looked_at_is_not_learnt_from(tmp_path: Path, count: int, looks: int) -> None:
    lesson = Lesson(records(tmp_path, numbered(count)), signature(1, 2))
    seen = {float(each["x"][0, 0]) for each in lesson.looks}
    learnt = {float(each["x"][0, 0]) for each in lesson.some(count)}
    assert len(seen) == looks
    assert not seen & learnt or count == 1
    assert seen | learnt == set(range(count))


def test_some_are_taken_evenly(tmp_path: Path) -> None:
    some = Lesson(records(tmp_path, numbered(100)), signature(1, 2)).some(5)
    assert len(some) == 5
    assert some[-1]["x"][0, 0] - some[0]["x"][0, 0] > 70


def test_many_are_more_than_there_are(tmp_path: Path) -> None:
    lesson = Lesson(records(tmp_path, numbered(8)), signature(1, 2))
    assert len(list(lesson.many(20))) == 20
    assert len(list(lesson.many(3))) <= 3


def test_a_batch_is_the_same_for_the_same_number(tmp_path: Path) -> None:
    lesson = Lesson(records(tmp_path, numbered(40)), signature(1, 2))
    first, again, other = (np.stack([each["x"] for each in lesson.batch(8, n)]) for n in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_integers_are_never_mixed(tmp_path: Path) -> None:
    ids = [np.full((1, 2), number, np.int32) for number in range(12)]
    batch = Lesson(records(tmp_path, ids), signature(1, 2, dtype="int32")).batch(8, 0)
    assert all(each["x"].dtype == np.int32 for each in batch)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [((1, 64, 80, 3), "NHWC"), ((1, 3, 64, 80), "NCHW"), ((1, 28, 28, 1), None), ((1, 64, 64), None)],
)
def test_photographs_are_known_by_their_size(shape: tuple[int, ...], layout: str | None) -> None:
    assert augment.layouts(signature(*shape).inputs) == ({"x": layout} if layout else {})


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_a_part_of_a_photograph_has_its_size_and_range(layout: str) -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 80, dtype=np.float32), (3, 64, 80))[None]
    image = np.ascontiguousarray(ramp if layout == "NCHW" else np.moveaxis(ramp, 1, -1))
    rng = np.random.default_rng(0)
    mirrored = 0
    for _ in range(20):
        part = augment.part(image, layout, rng)
        assert part.shape == image.shape
        assert part.dtype == np.float32
        assert 0 <= part.min() <= part.max() <= 255.001
        row = part[0, 0, 0] if layout == "NCHW" else part[0, 0, :, 0]
        mirrored += bool(row[0] > row[-1])
    assert 4 <= mirrored <= 16
