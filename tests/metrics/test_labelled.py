"""Labelled sets: folders, tables, arrays and generators, each with the labels that belong to its samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgepack.errors import ModelError, UsageError
from edgepack.metrics.labelled import NONE, Form, check, read
from edgepack.spec import Signature, TensorSpec
from edgepack.wrap import InputWrap, Wrap

pytestmark = pytest.mark.usefixtures("workspace")

SCORES = (TensorSpec("scores", (1, 3), "float32"),)
IMAGE = Form(
    Signature((TensorSpec("image", (1, 4, 4, 3), "float32"),), SCORES), Wrap(otherwise=InputWrap("image")),
    ("daisy", "rose", "tulip"), True,
)  # fmt: skip
VECTOR = Form(Signature((TensorSpec("x", (1, 2), "float32"),), SCORES), Wrap())
PAIR = Form(
    Signature((TensorSpec("a", (1, 2), "float32"), TensorSpec("b", (1, 2), "float32")), SCORES), Wrap()
)
ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)


def picture(path: str, value: int) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(path)


def labels(source: str, form: Form) -> list[Any]:
    return [label for _, _, label in read(source, form)]


def test_a_folder_of_class_folders() -> None:
    for value, name in enumerate(("rose/1", "rose/deep/2", "daisy/3", "tulip/4")):
        picture(f"set/{name}.png", value)
    found = {int(arrays["image"].max()): label for _, arrays, label in read("set", IMAGE)}
    assert found == {0: 1, 1: 1, 2: 0, 3: 2}


def test_a_folder_without_class_folders_has_no_labels() -> None:
    picture("set/1.png", 0)
    assert labels("set", IMAGE) == [NONE]


def test_a_picture_beside_class_folders_is_refused() -> None:
    picture("set/rose/1.png", 0)
    picture("set/2.png", 0)
    with pytest.raises(UsageError, match=r"2.png lies in no class folder of set"):
        labels("set", IMAGE)


def test_unknown_class_folders_are_told_before_a_picture_is_read() -> None:
    Path("set/rosse").mkdir(parents=True)
    Path("set/rosse/1.png").write_text("no picture")
    with pytest.raises(UsageError, match="'rosse' .nearest: 'rose'"):
        labels("set", IMAGE)


def test_a_table_of_files_and_labels() -> None:
    picture("set/a.png", 10)
    picture("set/b.png", 20)
    Path("set/table.csv").write_text("file, label\nb.png,rose\n\na.png,2\n")
    found = [
        (sample, int(arrays["image"].max()), label) for sample, arrays, label in read("set/table.csv", IMAGE)
    ]
    assert found == [("table.csv row 1 (b.png)", 20, 1), ("table.csv row 2 (a.png)", 10, 2)]


def test_a_table_of_files_and_numbers() -> None:
    np.save("a.npy", ROWS[0])
    Path("t.csv").write_text("file,label\na.npy,1.5\n")
    ((_, arrays, label),) = read("t.csv", VECTOR)
    np.testing.assert_array_equal(arrays["x"], ROWS[0])
    assert label == 1.5
    Path("t.csv").write_text("file,width,height\na.npy,1.5,2\n")
    np.testing.assert_array_equal(labels("t.csv", VECTOR)[0], [1.5, 2])


def test_a_table_of_numbers_alone() -> None:
    Path("t.csv").write_text("age,label,height\n1,7,2\n3,8,4\n")
    found = list(read("t.csv", VECTOR))
    assert [arrays["x"].tolist() for _, arrays, _ in found] == [[1, 2], [3, 4]]
    assert [label for *_, label in found] == [7, 8]


def test_a_table_of_masks() -> None:
    picture("a.png", 10)
    mask = np.array([[0, 1], [2, 255]], np.uint8)
    Image.fromarray(mask).save("grey.png")
    palette = Image.fromarray(mask, "P")
    palette.putpalette([*range(256)] * 3)
    palette.save("palette.png")
    np.save("array.npy", mask)
    Path("t.csv").write_text(
        "file,label\n" + "".join(f"a.png,{name}\n" for name in ("grey.png", "palette.png", "array.npy"))
    )
    for found in labels("t.csv", IMAGE):
        np.testing.assert_array_equal(found, mask)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\nnone.png,rose", "row 1 .none.png.: there is no file none.png"),
        ("file,label\na.png,none.png", "there is no file none.png"),
        ("file,label\na.png,a.png", "in colours .RGB."),
        ("file,label\na.png", "row 1 has 1 cells, not 2"),
        ("file,label\na.png,tullip", "'tullip' .nearest: 'tulip'"),
        ("a,b\n1,2", "has the columns a, b, and none is the label"),
        ("", "none is the label"),
        ("file,w,h\na.png,1,wide", "a cell that is no number.*wide"),
    ],
)
def test_a_table_that_does_not_fit_is_told_by_its_row(text: str, message: str) -> None:
    picture("a.png", 10)
    Path("t.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        labels("t.csv", IMAGE)


@pytest.mark.parametrize("name", ["label", "y", "anything"])
def test_arrays_with_the_labels_beside_the_input(name: str) -> None:
    np.savez("set.npz", x=ROWS, **{name: [2, 0, 1]})
    found = list(read("set.npz", VECTOR))
    assert [arrays["x"].tolist() for _, arrays, _ in found] == ROWS.tolist()
    assert [int(label) for *_, label in found] == [2, 0, 1]


def test_arrays_for_several_inputs_and_names_of_classes() -> None:
    form = Form(PAIR.signature, Wrap(), ("daisy", "rose", "tulip"), True)
    np.savez("set.npz", a=ROWS, b=-ROWS, label=["rose", "daisy", "tulip"])
    assert [(set(arrays), label) for _, arrays, label in read("set.npz", form)] == [
        ({"a", "b"}, n) for n in (1, 0, 2)
    ]
    np.savez("set.npz", a=ROWS, b=-ROWS, label=["rose", "dasy", "tulip"])
    with pytest.raises(UsageError, match="'dasy' .nearest: 'daisy'"):
        labels("set.npz", form)


def test_arrays_without_labels() -> None:
    np.savez("set.npz", x=ROWS)
    np.save("set.npy", ROWS)
    assert labels("set.npz", VECTOR) == labels("set.npy", VECTOR) == [NONE] * 3


def test_arrays_that_cannot_be_told_apart() -> None:
    np.savez("set.npz", a=ROWS, b=ROWS, c=ROWS, d=ROWS)
    with pytest.raises(UsageError, match="holds the labels cannot be told: c, d"):
        labels("set.npz", PAIR)


def test_a_generator_yields_pairs() -> None:
    Path("own.py").write_text(
        "import numpy as np\n"
        "def it():\n  yield {'x': np.ones(2)}, 'rose'\n  yield np.ones(2), {'boxes': [1, 2]}\n  yield (np.ones(2),), None\n"
    )
    form = Form(VECTOR.signature, Wrap(), ("daisy", "rose", "tulip"))
    assert labels("own.py:it", form) == [1, {"boxes": [1, 2]}, None]


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("yield 1", UsageError, "own.py:it sample 0 is no pair"),
        ("yield [1, 2], object()", UsageError, "The label of own.py:it sample 0 is a object"),
        ("yield 1 / 0", ModelError, "Sample 0 of own.py:it raised ZeroDivisionError"),
        ("yield (1, 2, 3), 0", UsageError, "yields 3 arrays; the model has 1 inputs"),
    ],
)
def test_a_bad_generator_is_told_which_sample(body: str, kind: type[Exception], message: str) -> None:
    Path("own.py").write_text(f"def it():\n  {body}\n")
    with pytest.raises(kind, match=message):
        labels("own.py:it", VECTOR)


@pytest.mark.parametrize(
    ("source", "message"),
    [("none/", "no evaluation set at none"), ("none.py:it", "no file none.py, which --evaluation"), ("set.txt", "'.txt' is no known kind")],
)  # fmt: skip
def test_what_cannot_be_a_labelled_set_is_refused_at_once(source: str, message: str) -> None:
    Path("set.txt").write_text("")
    with pytest.raises(UsageError, match=message):
        check(source)
