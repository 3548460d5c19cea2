"""What the built-in metrics mean, on cases that can be counted by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from edgepack.errors import UsageError
from edgepack.metrics.metric import parse
from edgepack.metrics.output import Answers


def value(metric: str, *samples: tuple[Any, Any], output: str = "y") -> float:
    """The metric over pairs of one output, or several, and a label."""
    made = parse(metric).make()
    for found, label in samples:
        outputs = found if isinstance(found, dict) else {output: np.asarray(found, np.float32)}
        made.update(outputs, label)
    return made.value()


def answers(**outputs: Any) -> Answers:
    return Answers({name: np.asarray(each, np.float32) for name, each in outputs.items()})


def scores(best: int, classes: int = 10) -> Any:
    return np.roll(np.linspace(1, 0, classes, dtype=np.float32), best)[np.newaxis]


def test_top1_is_the_percentage_of_samples_whose_best_class_is_the_label() -> None:
    assert value("top1", (scores(3), 3), (scores(4), 4), (scores(5), 6), (scores(0), 0)) == 75


def test_top5_looks_at_the_five_best() -> None:
    pairs = [(scores(0), 4), (scores(0), 5)]
    assert (value("top1", *pairs), value("top5", *pairs)) == (0, 50)


def test_of_equal_scores_the_first_class_is_the_better_one() -> None:
    """int8 makes ties of near misses; argmax on the device takes the first."""
    assert value("top1", ([[0.5, 0.5]], 0), ([[0.5, 0.5]], 1)) == 50
    assert value("top5", ([[1.0] * 6], 4), ([[1.0] * 6], 5)) == 50


@pytest.mark.parametrize("label", [2, np.int64(2), [2], 2.0, [0, 0, 1, 0], np.eye(4)[2]], ids=repr)
def test_a_class_is_an_index_or_one_hot(label: Any) -> None:
    assert value("top1", (scores(2, 4), label)) == 100


def test_one_value_a_sample_is_a_yes_from_one_half_on() -> None:
    assert value("top1", ([[0.5]], 1), ([[0.49]], 0), ([[0.9]], 0), ([[0.1]], 0)) == 75


def test_integers_are_classes_already() -> None:
    outputs = {"y": np.array([3], np.int32)}
    assert value("top1", (outputs, 3), (outputs, 4)) == 50


def test_a_label_for_every_position() -> None:
    tokens = np.concatenate([scores(each, 3) for each in (0, 1, 2, 0)])[np.newaxis]
    assert value("top1", (tokens, [0, 1, 2, 1])) == 75


def test_without_labels_the_originals_best_class_is_the_label() -> None:
    assert value("top1", (scores(1), answers(y=scores(1))), (scores(1), answers(y=scores(2)))) == 50


@pytest.mark.parametrize(
    ("metric", "found", "label", "message"),
    [
        ("top1", scores(0), 10, r"the label is class 10; the output 'y' has classes 0 to 9"),
        ("top1", scores(0), -1, r"classes 0 to 9"),
        ("top1", scores(0), 2.5, "is no class"),
        ("top1", scores(0), "daisy", "'daisy' is no number"),
        ("top1", scores(0), float("nan"), "NaN"),
        ("top1", scores(0), [1, 2], "2 labels for 1 places"),
        ("top5", scores(0, 5), 1, "no more than 5 classes"),
        ("mae", [[1.0, 2.0]], 1.0, r"the label has the shape \(\), the output 'y' \(1, 2\)"),
        ("miou", np.zeros((1, 4, 4, 3)), 1, "is no mask"),
        ("miou", np.zeros((1, 4, 4, 3)), np.full((4, 4), 3), "the mask has class 3; the output 'y' has classes 0 to 2"),
        ("miou", np.zeros((1, 3)), np.zeros((4, 4), int), "is no segmentation"),
        ("map", np.zeros((1, 3)), np.zeros((1, 4)), "are boxes cannot be told"),
        ("map", np.zeros((1, 3, 6)), np.zeros((1, 7)), r"\(1, 7\)"),
        ("recall", np.ones((1, 3)), 1, "one sample has no neighbour"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(metric: str, found: Any, label: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        value(metric, (found, label))


def test_one_of_several_outputs_is_named() -> None:
    outputs = {"a": scores(1), "b": scores(2)}
    assert (value("top1:a", (outputs, 1)), value("top1:b", (outputs, 1))) == (100, 0)
    assert value("top1:b", (outputs, {"a": 1, "b": 2})) == 100
    with pytest.raises(UsageError, match="has the outputs a, b") as error:
        value("top1", (outputs, 1))
    assert error.value.hint == "Say which: --metric top1:a."
    with pytest.raises(UsageError, match=r"no output 'bb'. Did you mean 'b'\?"):
        value("top1:bb", (outputs, 1))


def test_mae_is_the_mean_over_all_values() -> None:
    assert value("mae", ([[1.0, 2.0]], [1.5, 2.0]), ([[0.0, 0.0]], [[0.5, -1.0]])) == pytest.approx(0.5)
    assert value("mae", ([[3.0]], answers(y=[[1.0]]))) == 2


def one_hot(mask: Any, classes: int) -> Any:
    return np.eye(classes, dtype=np.float32)[np.asarray(mask)][np.newaxis]


MASK = [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 2, 2]]
FOUND = [[0, 0, 0, 1], [0, 0, 1, 1], [2, 2, 2, 2]]
OVERLAP = 100 * (4 / 5 + 3 / 4 + 4 / 4) / 3


def test_miou_is_the_mean_over_classes_of_what_both_have_to_what_either_has() -> None:
    assert value("miou", (one_hot(FOUND, 3), MASK)) == pytest.approx(OVERLAP)


def test_miou_takes_channels_first_classes_and_masks_of_another_size() -> None:
    first = np.moveaxis(one_hot(FOUND, 3), -1, 1)
    assert value("miou", (first, MASK)) == pytest.approx(OVERLAP)
    assert value("miou", ({"y": np.array([FOUND], np.int64)}, MASK)) == pytest.approx(OVERLAP)
    assert value("miou", (one_hot(FOUND, 3), np.kron(MASK, np.ones((3, 2), int)))) == pytest.approx(OVERLAP)


def test_miou_sums_pixels_over_samples_and_leaves_out_classes_that_nobody_has() -> None:
    pairs = [(one_hot([[0, 0]], 4), [[0, 1]]), (one_hot([[1, 1]], 4), [[1, 1]])]
    assert value("miou", *pairs) == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)


def test_miou_passes_over_pixels_of_255_and_takes_them_for_the_second_class_of_two() -> None:
    assert value("miou", (one_hot([[0, 1, 2]], 3), [[0, 1, 255]])) == 100
    assert value("miou", ([[[0.1, 0.9, 0.4, 0.5]]], [[0, 255, 0, 255]])) == 100
    assert value("miou", ([[[[0.1], [0.9]], [[0.4], [0.5]]]], [[0, 1], [0, 1]])) == 100


def test_miou_without_labels_is_agreement_with_the_original() -> None:
    assert value("miou", (one_hot(FOUND, 3), answers(y=one_hot(MASK, 3)))) == pytest.approx(OVERLAP)


TRUTH = [[0, 0, 10, 10, 1], [20, 20, 40, 40, 2]]


def detections(rows: Iterable[list[float]]) -> Any:
    return np.array([[*rows]], np.float32)


def test_map_is_100_when_every_object_is_found_and_nothing_else() -> None:
    assert value("map", (detections([[0, 0, 10, 9, 0.9, 1], [21, 20, 40, 40, 0.8, 2]]), TRUTH)) == 100


def test_map_counts_what_is_missed_what_is_elsewhere_and_what_is_found_twice() -> None:
    assert value("map", (detections([[0, 0, 10, 10, 0.9, 1]]), TRUTH)) == 50
    assert value("map", (detections([[0, 0, 10, 10, 0.9, 1], [0, 0, 3, 3, 0.9, 2]]), TRUTH)) == 50
    # class 1: a wrong box scored above the right one halves its precision; class 2: one found twice, the second is late
    rows = [
        [50, 50, 60, 60, 0.9, 1],
        [0, 0, 10, 10, 0.8, 1],
        [20, 20, 40, 40, 0.7, 2],
        [20, 20, 40, 40, 0.6, 2],
    ]
    assert value("map", (detections(rows), TRUTH)) == 75


def test_map_ranks_boxes_over_all_samples() -> None:
    """A false alarm in one picture that is surer than the object in the other comes before it."""
    truth: Any = [[0, 0, 10, 10, 1]]
    right, wrong = [[0, 0, 10, 10, 0.5, 1]], [[50, 50, 60, 60, 0.9, 1]]
    assert value("map", (detections(right), truth), (detections(wrong), np.zeros((0, 5)))) == 50


@pytest.mark.parametrize(
    "outputs",
    [
        {"boxes": [[[0, 0, 10, 10], [20, 20, 40, 40]]], "scores": [[[0.1, 0.9, 0], [0, 0.1, 0.8]]]},
        {"boxes": [[[0, 0, 10, 10], [20, 20, 40, 40]]], "scores": [[0.9, 0.8]], "classes": [[1, 2]]},
        {"detection_boxes": [[[0, 0, 10, 10], [20, 20, 40, 40]]], "detection_scores": [[0.9, 0.8]],
         "detection_classes": [[1, 2]], "num_detections": [2]},
    ],
    ids=["a score for each class", "classes apart", "ssd"],
)  # fmt: skip
def test_map_finds_boxes_scores_and_classes_among_the_outputs(outputs: dict[str, Any]) -> None:
    assert (
        value("map", ({name: np.asarray(each, np.float32) for name, each in outputs.items()}, TRUTH)) == 100
    )


def test_map_without_labels_takes_the_originals_sure_boxes_for_objects() -> None:
    original = answers(y=detections([[0, 0, 10, 10, 0.9, 1], [5, 5, 9, 9, 0.4, 1]]))
    assert value("map", (dict(original), original)) == 100
    assert value("map", (detections([[30, 30, 40, 40, 0.9, 1]]), original)) == 0
    with pytest.raises(UsageError, match="there is not one object"):
        value("map", (detections([[0, 0, 10, 10, 0.4, 1]]), answers(y=detections([[0, 0, 10, 10, 0.4, 1]]))))


def test_recall_asks_whether_the_nearest_other_sample_has_the_same_label() -> None:
    found = [[1, 0], [2, 0.1], [0, 1], [0.1, 5], [1, 0.9]]
    pairs = [([each], label) for each, label in zip(found, ["a", "a", "b", "b", "c"], strict=True)]
    assert value("recall", *pairs) == 100  # c is alone: nothing could be found for it
    assert (
        value("recall", *pairs[:4], ([[1.0, 0.05]], "b")) == 60
    )  # it and the one beside it, which it draws away


def test_recall_without_labels_asks_whether_the_nearest_is_the_originals_nearest() -> None:
    original = [[1, 0], [0.9, 0.3], [0, 1]]
    moved = [[1, 0], [0.2, 0.9], [0, 1]]
    assert value("recall", *(([y], answers(y=[x])) for x, y in zip(original, original, strict=True))) == 100
    assert value(
        "recall", *(([y], answers(y=[x])) for x, y in zip(original, moved, strict=True))
    ) == pytest.approx(100 * 2 / 3)


def test_recall_is_the_same_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=(1, 4)), int(rng.integers(3))) for _ in range(50)]
    whole = value("recall", *pairs)
    monkeypatch.setattr("edgepack.metrics.neighbours.BLOCK", 7)
    assert value("recall", *pairs) == whole
