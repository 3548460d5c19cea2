"""Labels as they are written, and the classes that nobody knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from edgepack.errors import UsageError
from edgepack.metrics.labels import reading
from edgepack.spec import Signature, TensorSpec

FLOWERS = ("daisy", "rose", "tulip")
THREE = Signature((), (TensorSpec("scores", (1, 3), "float32"),))
YES_OR_NO = Signature((), (TensorSpec("score", (1, 1), "float32"),))


def read(
    texts: Sequence[str], names: Sequence[str] = (), classes: bool = True, signature: Signature = THREE
) -> list[Any]:
    as_label = reading(texts, names, classes, signature)
    return [as_label(text) for text in texts]


def test_a_class_is_named_or_counted() -> None:
    assert read(["tulip", "0", "rose"], FLOWERS) == [2, 0, 1]


def test_a_name_that_is_a_number_is_a_name_first() -> None:
    assert read(["3", "1", "2"], ("1", "2", "3")) == [2, 0, 1]


def test_without_names_numbers_are_indices_and_texts_are_in_alphabetical_order() -> None:
    assert read(["0", "10", "2"]) == [0, 10, 2]
    assert read(["rose", "daisy", "tulip", "rose"]) == [1, 0, 2, 1]
    assert read(["dog", "cat"], signature=YES_OR_NO) == [1, 0]


def test_where_no_metric_is_of_classes_numbers_are_numbers_and_texts_stay() -> None:
    assert read(["1.5", "-2", "the cat sat"], classes=False) == [1.5, -2, "the cat sat"]
    assert read(["hello world"], FLOWERS, classes=False) == ["hello world"]
    assert read(["rose"], FLOWERS, classes=False) == [1]


@pytest.mark.parametrize(
    ("texts", "names", "classes", "message"),
    [
        (["rose", "tullip"], FLOWERS, True, r"classes that the model has not: 'tullip' \(nearest: 'tulip'\)\."),
        (["rose", "tullip"], FLOWERS, False, "'tullip'"),
        (["oak", "rosé"], FLOWERS, True, r"'oak', 'rosé' \(nearest: 'rose'\)"),
        (["3"], FLOWERS, True, "'3'"),
        (["1.5", "2"], (), True, r"has 2 classes \(1.5, 2\); the outputs have 3 \(scores\)"),
        (["cat", "dog"], (), True, r"has 2 classes \(cat, dog\); the outputs have 3 \(scores\)"),
        ([f"oak {n}" for n in range(20)], FLOWERS, True, "'oak 15' and 12 more"),
    ],
)  # fmt: skip
def test_unknown_classes_are_listed_with_the_nearest(
    texts: list[str], names: tuple[str, ...], classes: bool, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read(texts, names, classes)
