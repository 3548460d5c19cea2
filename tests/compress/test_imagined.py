"""Pictures of classes that the samples do not show: the teacher sees each one's class in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.compress import imagined
from edgepack.compress.lesson import TOGETHER, Lesson
from edgepack.events import Step
from edgepack.records import Records, RecordWriter
from edgepack.spec import Array, Arrays, Signature, TensorSpec

SIZE = 64


class Colours:
    """Tells how red, green and blue an image is, as probabilities; or sums."""

    def __init__(self, probabilities: bool = True) -> None:
        self.probabilities, self.asked = probabilities, 0

    def teach(self, inputs: Arrays) -> dict[str, Array]:
        means = inputs["image"].mean((1, 2)) / 16
        if not self.probabilities:
            return {"sums": means}
        raised = np.exp(means - means.max())
        return {"height": np.zeros((1, 1)), "colour": raised / raised.sum()}

    def towards(self, samples: list[Arrays], output: str, classes: list[int]) -> list[dict[str, Array]]:
        assert output == "colour"
        self.asked += 1
        return [
            {"image": np.broadcast_to(np.eye(3)[own] - self.teach(each)["colour"], each["image"].shape)}
            for each, own in zip(samples, classes, strict=True)
        ]


def lesson(folder: Path, count: int = 24, size: int = SIZE) -> Lesson:
    rng = np.random.default_rng(0)
    with RecordWriter(folder / "some.records") as writer:
        for _ in range(count):
            writer.write({"image": rng.uniform(0, 255, (1, size, size, 3)).astype(np.float32)})
    records: Records = writer.records
    return Lesson(records, Signature((TensorSpec("image", (1, size, size, 3), "float32"),), ()))


def pictures(student: Any, folder: Path, lesson: Lesson) -> list[Arrays]:
    return imagined.pictures(student, folder, Step("compress"), lesson)


def test_the_teacher_sees_all_classes_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagined, "COUNT", 30)
    teacher, given = Colours(), lesson(tmp_path)
    made = pictures(teacher, tmp_path, given)
    assert len(made) == 30
    seen = [int(teacher.teach(each)["colour"].argmax()) for each in made]
    assert np.bincount(seen).tolist() == [10, 10, 10]
    shown = np.concatenate([each["image"] for each in made])
    assert (shown.shape, shown.dtype) == ((30, SIZE, SIZE, 3), np.float32)
    assert shown.min() >= 0
    assert shown.max() <= 255


def test_what_was_made_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagined, "COUNT", 2 * TOGETHER)
    given, again = lesson(tmp_path), Colours()
    first = pictures(Colours(), tmp_path, given)
    (tmp_path / f"{TOGETHER}.npz").unlink()  # a run that was stopped had come so far
    second = pictures(again, tmp_path, given)
    assert again.asked == imagined.STEPS
    for own, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(own["image"], other["image"])


def test_large_ones_are_fewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagined, "MEMORY", 5 * SIZE * SIZE * 3 * 4)
    assert len(pictures(Colours(), tmp_path, lesson(tmp_path))) == 5


def test_there_are_none_without_classes_or_photographs(tmp_path: Path) -> None:
    assert pictures(Colours(probabilities=False), tmp_path, lesson(tmp_path)) == []
    assert pictures(Colours(), tmp_path, lesson(tmp_path, size=32)) == []


def test_a_sample_that_nothing_moves_stays(tmp_path: Path) -> None:
    class Deaf(Colours):
        def towards(self, samples: list[Arrays], output: str, classes: list[int]) -> list[dict[str, Array]]:
            return [{"image": np.zeros_like(each["image"])} for each in samples]

    (sample,) = lesson(tmp_path, 1).looks
    (made,) = imagined.turned(Deaf(), [sample], {"image": "NHWC"}, "colour", [1])  # type: ignore[arg-type]
    np.testing.assert_array_equal(made["image"], sample["image"])
