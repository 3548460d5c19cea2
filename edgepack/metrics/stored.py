"""A labelled set on disk, for the targets of a build: read once, and as many masks and pictures as there are take no memory."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from ..errors import UsageError
from ..records import Records, RecordWriter
from ..samples import fit
from .labelled import NONE, Form, read
from .output import Answers

Against = Literal["labels", "original"]


class Labels(Protocol):
    """Pairs (sample, label), one for each input; can be iterated again and again.

    Attributes:
        against: what outputs are held against: labels, or the original's own answers.
    """

    @property
    def against(self) -> Against: ...
    def __iter__(self) -> Iterator[tuple[str, Any]]: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Written:
    """Labels in a scratch file, which no one else writes."""

    path: Path
    count: int
    against: Against = "labels"

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        with self.path.open("rb") as file:
            for _ in range(self.count):
                yield pickle.load(file)


@dataclass(frozen=True)
class Answered:
    """The original's answers, in place of labels."""

    answers: Records
    against: Against = "original"

    def __len__(self) -> int:
        return len(self.answers)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for number, outputs in enumerate(self.answers):
            yield f"sample {number}", Answers(outputs)


@dataclass(frozen=True)
class Picked:
    """Some of the labels, at ``places``, in the order that they have."""

    labels: Labels
    places: frozenset[int]

    @property
    def against(self) -> Against:
        return self.labels.against

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return (each for place, each in enumerate(self.labels) if place in self.places)


def write(source: str, form: Form, workdir: Path) -> tuple[Records, Written | None]:
    """Inputs and labels; no labels where the set has none. Raises UsageError, ModelError."""
    writer = RecordWriter(workdir / "evaluation.records", {spec.name: spec.dtype for spec in form.inputs})
    path, labelled = workdir / "evaluation.labels", False
    with writer, path.open("wb") as file:
        for sample, arrays, label in read(source, form):
            try:
                writer.write(fit(arrays, form.inputs, sample))
            except ValueError as error:
                raise UsageError(
                    f"{sample} has other types than the samples before it.", str(error)
                ) from error
            labelled = label is not NONE
            if labelled:
                pickle.dump((sample, label), file)
    if not writer.count:
        raise UsageError(f"The evaluation set {source} is empty.", "Give 100 labelled samples or more.")
    return writer.records, Written(path, writer.count) if labelled else None
