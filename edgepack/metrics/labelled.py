"""Where labelled samples come from: folders of class folders, .csv, .npz, generators. All stream, as edgepack.readers does.

Each reader yields (sample, arrays, label): the sample's name for messages, arrays by input name, and the label, or NONE.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .. import readers
from ..errors import UsageError
from ..readers import DAMAGE, IMAGE_SUFFIXES, array_names, generated, image_files, image_reader, named
from ..spec import Array, Signature, TensorSpec
from ..usercode import is_reference
from ..wrap import Wrap
from .labels import Reading, reading

HINT = "Give --evaluation a folder of class folders, a .csv (file,label), a .npz (inputs and label) or file.py:generator."

LABEL_NAMES = ("label", "labels", "y", "target", "targets")
"""What the array or column of labels is called; in a .npz, else the only one that is no input."""


class _Nothing:
    """The label of a sample that has none: ``None`` may be one of the user's."""


NONE = _Nothing()

LabelledSample = tuple[str, dict[str, Array], Any]


@dataclass(frozen=True)
class Form:
    """What a labelled set has to fit.

    Attributes:
        names: of the classes, if they are known.
        of_classes: whether a metric takes nothing but classes for labels.
    """

    signature: Signature
    wrap: Wrap
    names: tuple[str, ...] = ()
    of_classes: bool = False

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self.signature.inputs

    def reading(self, texts: Iterable[str]) -> Reading:
        return reading(texts, self.names, self.of_classes, self.signature)


def check(source: str) -> None:
    """Refuse what cannot be a labelled set, before anything heavy starts; none is fine. Raises UsageError."""
    path = Path(source)
    if not source:
        return
    if is_reference(source):
        file = source.rpartition(":")[0]
        if file.endswith(".py") and not Path(file).is_file():
            raise UsageError(f"There is no file {file}, which --evaluation names.", HINT)
    elif not path.exists():
        raise UsageError(f"There is no evaluation set at {source}.", HINT)
    elif path.is_file() and path.suffix not in (".npz", ".npy", ".csv"):
        raise UsageError(f"'{path.suffix}' is no known kind of evaluation set: {source}.", HINT)


def read(source: str, form: Form) -> Iterator[LabelledSample]:
    """The samples of a labelled set, in a fixed order. Raises UsageError, ModelError."""
    path = Path(source)
    if is_reference(source):
        return _generator(source, form)
    if path.is_dir():
        return _folder(path, form)
    return _csv(path, form) if path.suffix == ".csv" else _numpy(path, form)


def _generator(reference: str, form: Form) -> Iterator[LabelledSample]:
    as_label = form.reading(())
    for number, item in enumerate(generated(reference, "The evaluation set")):
        sample = f"{reference} sample {number}"
        if not (isinstance(item, tuple) and len(item) == 2):
            raise UsageError(f"{sample} is no pair.", "Yield (inputs, label); inputs as for --data.")
        inputs, label = item
        if not _is_plain(label):
            raise UsageError(
                f"The label of {sample} is a {type(label).__name__}.",
                "Give numbers, text, arrays, or lists and dicts of them.",
            )
        yield (
            sample,
            named(inputs, form.inputs, reference, number),
            as_label(label) if isinstance(label, str) else label,
        )


def _is_plain(label: Any) -> bool:
    """Whether a label can be kept on disk, and read where the user's module is not at hand."""
    if isinstance(label, dict):
        return all(isinstance(name, str) and _is_plain(each) for name, each in label.items())
    if isinstance(label, list | tuple):
        return all(map(_is_plain, label))
    if isinstance(label, np.ndarray | np.generic):
        return not label.dtype.hasobject
    return label is None or isinstance(label, bool | int | float | str)


def _folder(folder: Path, form: Form) -> Iterator[LabelledSample]:
    files = [(path, path.relative_to(folder)) for path in image_files(folder)]
    classes = {inside.parts[0] for _, inside in files if len(inside.parts) > 1}
    loose = [inside for _, inside in files if len(inside.parts) == 1]
    if classes and loose:
        raise UsageError(f"{loose[0]} lies in no class folder of {folder}.", "Move it, or remove it.")
    as_label, pixels = form.reading(classes), image_reader(form.inputs, form.wrap)
    for path, inside in files:
        yield inside.as_posix(), pixels(path), as_label(inside.parts[0]) if classes else NONE


def _numpy(path: Path, form: Form) -> Iterator[LabelledSample]:
    arrays = array_names(path) if path.suffix == ".npz" else []
    inputs, label = _told_apart(arrays, form, path)
    wanted = [*inputs, *([label] if label else [])]
    specs = tuple(TensorSpec(name, (), "") for name in wanted) if arrays else form.inputs
    texts: set[str] = set()
    if label:
        only = (TensorSpec(label, (), ""),)
        texts = {
            str(row[label])
            for _, row in readers.read_samples(str(path), only, form.wrap, None)
            if row[label].dtype.kind == "U"
        }
    as_label = form.reading(texts)
    for sample, row in readers.read_samples(str(path), specs, form.wrap, None):
        found = row.pop(label) if label else NONE
        yield (
            sample,
            row,
            as_label(str(found)) if isinstance(found, np.ndarray) and found.dtype.kind == "U" else found,
        )


def _told_apart(arrays: Sequence[str], form: Form, path: Path) -> tuple[list[str], str]:
    """Which of the arrays of a .npz are inputs, and which is the label (or ``""``)."""
    names = [spec.name for spec in form.inputs]
    others = [name for name in arrays if name not in names]
    label = next((name for name in LABEL_NAMES if name in others), others[0] if len(others) == 1 else "")
    inputs = [name for name in arrays if name != label]
    if len(names) > 1 or len(inputs) > 1:
        inputs = names
    if others and not label:
        raise UsageError(
            f"Which array of {path} holds the labels cannot be told: {', '.join(others)}.", "Call it 'label'."
        )
    return inputs, label


def _csv(path: Path, form: Form) -> Iterator[LabelledSample]:
    columns, rows = _rows(path)
    file = columns.index("file") if "file" in columns else None
    said = [place for place, name in enumerate(columns) if name in LABEL_NAMES]
    said = said or [place for place in range(len(columns)) if place != file and file is not None]
    if not said:
        raise UsageError(
            f"{path} has the columns {', '.join(columns)}, and none is the label.",
            "The first line names the columns: file,label; or numbers of the only input, and label.",
        )
    cells = [[row[place] for place in said] for row in rows]
    texts = {each[0] for each in cells if len(each) == 1 and not _is_file(each[0])}
    as_label = form.reading(texts)
    pixels = _file_reader(form) if file is not None else None
    for number, (row, label) in enumerate(zip(rows, cells, strict=True)):
        sample = f"{path.name} row {number + 1}"
        if pixels is not None and file is not None:
            sample = f"{sample} ({row[file]})"
            arrays = pixels(_there(path, row[file], sample))
        else:
            numbers = [row[place] for place in range(len(columns)) if place not in said]
            arrays = {form.inputs[0].name: _numbers(numbers, sample, form.inputs[0].dtype)}
        if len(label) > 1:
            yield sample, arrays, _numbers(label, sample, "float64")
        elif _is_file(label[0]):
            yield sample, arrays, _array(_there(path, label[0], sample))
        else:
            yield sample, arrays, as_label(label[0])


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = [[cell.strip() for cell in row] for row in csv.reader(file) if any(map(str.strip, row))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read: {error}.", "A comma between cells, UTF-8.") from error
    columns, rows = (table[0] if table else []), table[1:]
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            raise UsageError(
                f"{path} row {number + 1} has {len(row)} cells, not {len(columns)}.",
                "Quote cells with commas.",
            )
    return columns, rows


def _file_reader(form: Form) -> Callable[[Path], dict[str, Array]]:
    """Reads a picture, or an array for the only input."""
    pixels: list[Callable[[Path], dict[str, Array]]] = []

    def read(path: Path) -> dict[str, Array]:
        if path.suffix == ".npy":
            return {form.inputs[0].name: _array(path)}
        if not pixels:
            pixels.append(image_reader(form.inputs, form.wrap))
        return pixels[0](path)

    return read


def _is_file(cell: str) -> bool:
    """Whether a label is in a file of its own: a mask, or an array."""
    return Path(cell).suffix.lower() in {*IMAGE_SUFFIXES, ".npy"}


def _there(table: Path, cell: str, sample: str) -> Path:
    found = table.parent / cell
    if not found.is_file():
        raise UsageError(f"{sample}: there is no file {found}.", f"Paths are relative to {table}.")
    return found


def _array(path: Path) -> Array:
    """A .npy, or the class indices of a mask (H, W): a picture in grey or with a palette."""
    try:
        if path.suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False))
        with Image.open(path) as image:
            if image.mode not in ("P", "L", "1", "I", "I;16"):
                raise UsageError(
                    f"The mask {path} is in colours ({image.mode}).",
                    "A mask's pixels are class indices: grey, or a palette.",
                )
            return np.asarray(image.convert("L") if image.mode == "1" else image)
    except DAMAGE as error:
        raise UsageError(f"{path} cannot be read: {error}.", "Write it again.") from error


def _numbers(cells: Sequence[str], sample: str, dtype: str) -> Array:
    try:
        return np.array([float(cell) for cell in cells]).astype(dtype)
    except ValueError as error:
        raise UsageError(
            f"{sample} has a cell that is no number: {error}.", "Or name the columns file,label."
        ) from error
