"""What is learnt from: most of the samples, changed at random where that makes sense, the same for the same number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepack.compress import augment
from edgepack.compress.lesson import LOOKS, Lesson
from edgepack.records import Records, RecordWriter
from edgepack.spec import Array, Arrays, Signature, TensorSpec


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


def ramp(layout: str, start: float = 0) -> Array:
    """A photograph that gets brighter from left to right."""
    row = np.broadcast_to(np.linspace(start, 255, 80, dtype=np.float32), (3, 64, 80))
    return augment.array(np.moveaxis(row, 0, -1), layout)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_photographs_are_changed_within_their_size_and_range(layout: str) -> None:
    shape = (1, 64, 80, 3) if layout == "NHWC" else (1, 3, 64, 80)
    samples = [{"x": ramp(layout)} for _ in range(20)]
    changed = augment.batch(samples, signature(*shape), {"x": layout}, np.random.default_rng(0))
    assert len(changed) == 20
    for each in changed:
        assert each["x"].shape == shape
        assert each["x"].dtype == np.float32
        assert 0 <= each["x"].min() <= each["x"].max() <= 255.001
        assert not np.array_equal(each["x"], samples[0]["x"])


def test_a_part_is_mirrored_half_of_the_time() -> None:
    rng, pixels = np.random.default_rng(0), augment.pixels(ramp("NHWC"), "NHWC")
    parts = [augment.part(pixels, (32, 40), rng) for _ in range(20)]
    assert {each.shape for each in parts} == {(32, 40, 3)}
    assert 4 <= sum(bool(each[0, 0, 0] > each[0, -1, 0]) for each in parts) <= 16


def test_a_collage_has_parts_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "COLLAGES", 1.0)
    black, white = (np.full((64, 80, 1), value, np.float32) for value in (0, 255))
    collages = [augment.picture(black, [black, white], np.random.default_rng(seed)) for seed in range(5)]
    assert {each.shape for each in collages} == {(64, 80, 1)}
    assert any({*np.unique(each)} == {0, 255} for each in collages)


def test_a_tint_keeps_what_is_flat() -> None:
    flat = np.full((8, 8, 3), 7, np.float32)
    np.testing.assert_array_equal(augment.tinted(flat, np.random.default_rng(0)), flat)


def test_few_photographs_are_filled_up_with_changed_ones(tmp_path: Path) -> None:
    photos = [ramp("NHWC", start) for start in range(8)]
    lesson = Lesson(records(tmp_path, photos), signature(1, 64, 80, 3))
    some = lesson.some(20)
    own = [any(np.array_equal(each["x"], photo) for photo in photos) for each in some]
    assert len(some) == 20
    assert sum(own) == 6
    assert not all(own[:6])


def test_photographs_are_tried_by_changed_ones_of_those_that_are_not_learnt_from(tmp_path: Path) -> None:
    lesson = Lesson(records(tmp_path, [ramp("NHWC", start) for start in range(8)]), signature(1, 64, 80, 3))
    assert len(lesson.trials) == LOOKS
    assert all(each["x"].shape == (1, 64, 80, 3) for each in lesson.trials)
    assert not any(np.array_equal(each["x"], lesson.looks[0]["x"]) for each in lesson.trials)


def test_others_are_tried_as_they_are(tmp_path: Path) -> None:
    lesson = Lesson(records(tmp_path, numbered(8)), signature(1, 2))
    assert lesson.trials is lesson.looks


def test_pictures_come_before_changed_photographs_and_only_when_they_are_needed(tmp_path: Path) -> None:
    made = []

    def imagine(lesson: Lesson) -> list[Arrays]:
        made.append({"x": np.full((1, 64, 80, 3), 9, np.float32)})
        return made

    photos = records(tmp_path, [ramp("NHWC", start) for start in range(8)])
    lesson = Lesson(photos, signature(1, 64, 80, 3), imagine=imagine)
    assert len(list(lesson.many(6))) == 6
    assert not made
    for _ in range(2):
        many = list(lesson.many(20))
        assert many[6] is made[0]
        assert len(many) == 20
    assert len(made) == 1


def test_samples_that_may_not_be_changed_are_shown_as_they_are(tmp_path: Path) -> None:
    photos = [ramp("NHWC", start) for start in range(8)]
    lesson = Lesson(records(tmp_path, photos), signature(1, 64, 80, 3), augmented=False)
    assert lesson.trials is lesson.looks
    for each in [*lesson.some(20), *lesson.batch(4, 0)]:
        assert any(np.array_equal(each["x"], photo) for photo in photos)
