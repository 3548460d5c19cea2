"""A labelled set on disk, for the targets of a build: read once, and as many masks and pictures as there are take no memory."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..errors import UsageError
from ..records import Records, RecordWriter
from ..samples import fit
from .labelled import NONE, Form, read
from .output import Answers


class Labels(Protocol):
    """Pairs (sample, label), one for each input; can be iterated again and again."""

    def __iter__(self) -> Iterator[tuple[str, Any]]: ...


@dataclass(frozen=True)
class Written:
    """Labels in a scratch file, which no one else writes."""

    path: Path
    count: int

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        with self.path.open("rb") as file:
            for _ in range(self.count):
                yield pickle.load(file)


@dataclass(frozen=True)
class Answered:
    """The original's answers, in place of labels."""

    answers: Records

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for number, outputs in enumerate(self.answers):
            yield f"sample {number}", Answers(outputs)


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
