"""edgepack.toml and the command line's flags -> one frozen Project."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .bundle.manifest import SLUG
from .compress.wanted import Wanted
from .errors import UsageError
from .fields import Chosen, Count, Names, Positive, Share, Values
from .keys import check_keys, explained, merged, relocate
from .metrics.request import Request, check_thresholds, request
from .parity import METRICS, Gate, default_gate, parse_gate
from .samples import DataRequest
from .spec import AUTO, Precision, parse_shape
from .target import IO
from .usercode import is_reference
from .wrap import Activation, Channels, InputWrap, Layout, OutputWrap, Wrap

FILE = "edgepack.toml"


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class ModelTable(Table):
    """[model]"""

    name: str = Field(default="", pattern=f"{SLUG}|^$")
    version: str = Field(default="1.0.0", pattern=SLUG)
    source: str = ""
    signature: str | None = None
    shapes: dict[str, str] = {}
    labels: str | None = None
    allow_code: bool = False


class InputTable(Table):
    """[input.NAME]"""

    kind: Literal["image", "audio", "tensor"] = "tensor"
    rate: Count | None = None
    layout: Layout = "NHWC"
    channels: Channels | None = None
    scale: Values = (1.0,)
    offset: Values = (0.0,)
    mean: Values = (0.0,)
    std: Positive = (1.0,)


class OutputTable(Table):
    """[output.NAME]"""

    activation: Activation = "none"
    top_k: Count | None = None


class DataTable(Table):
    """[data]"""

    representative: str = ""
    samples: Count | None = None
    calibration: Count | None = None
    held_back: Count | None = None
    evaluation: str = ""
    metrics: Names = ()


class BuildTable(Table):
    """[build]"""

    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("tflite",)
    precision: Chosen = Precision.INT8
    take: Count | None = None
    runtime: str = ""
    io: IO = "auto"
    layout: Literal["auto", "keep"] = "auto"
    out: str = "dist"
    zip: bool = False
    devices: tuple[str, ...] = ()


class CompressTable(Table):
    """[compress]"""

    prune: Share = None
    cluster: Annotated[int, Field(ge=4, le=255)] | None = None
    low_rank: Annotated[float, Field(gt=0, lt=1)] | None = None
    prune_channels: Annotated[float, Field(gt=0, le=0.9)] | None = None
    recover_minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    augment: bool = True
    keep: Names = ()

    @property
    def is_auto(self) -> bool:
        """Whether the amounts are chosen (see edgepack.auto)."""
        return self.prune == "auto"

    @model_validator(mode="after")
    def _auto_is_alone(self) -> Self:
        if self.is_auto and Wanted(**dict(self) | {"prune": None}).is_any:
            raise ValueError("prune = auto chooses how much of every method; leave out the others")
        return self


class GateTable(Table):
    """[gate]: the least sqnr_db, cosine and argmax_agreement, the greatest max_abs; other keys are of task metrics.

    Those take a number, or a text where that would leave open what is meant: ``f1 = ">=0.9"``.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | str] = Field(init=False)

    sqnr_db: float | None = None
    cosine: float | None = None
    argmax_agreement: float | None = None
    max_abs: float | None = None


class Project(Table):
    """All that decides a build; the same Project and files give the same bytes."""

    model: ModelTable = ModelTable()
    input: dict[str, InputTable] = {}
    output: dict[str, OutputTable] = {}
    data: DataTable = DataTable()
    build: BuildTable = BuildTable()
    gate: GateTable = GateTable()
    compress: CompressTable = CompressTable()
    device: dict[str, dict[str, Any]] = {}  # read by edgepack.devices.profiles

    @model_validator(mode="after")
    def _gate_can_be_met(self) -> Self:
        check_thresholds(self.parity_gate.thresholds)
        _ = self.evaluation
        return self

    @property
    def name(self) -> str:
        """The bundle's name: as given, or made from the source's."""
        stem = self.model.source.rpartition(":")[0] if is_reference(self.model.source) else self.model.source
        name = Path(stem).stem if not is_reference(self.model.source) or stem.endswith(".py") else stem
        return self.model.name or re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "model"

    @property
    def wrap(self) -> Wrap:
        return Wrap(
            tuple((name, InputWrap(**dict(table))) for name, table in self.input.items()),
            tuple((name, OutputWrap(**dict(table))) for name, table in self.output.items()),
            InputWrap(kind="image") if Path(self.data.representative or FILE).is_dir() else None,
        )

    @property
    def data_request(self) -> DataRequest:
        data = self.data
        return DataRequest(data.representative, data.samples, data.calibration, data.held_back)

    @property
    def compression(self) -> Wanted:
        """What is asked for; no amounts where they are to be chosen.

        The gate goes with it where it decides: a model that was found is found again under another gate.
        """
        amounts = dict(self.compress) | ({"prune": None} if self.compress.is_auto else {})
        decides = self.compress.recover_minutes is None and not self.evaluation.bounds
        return Wanted(**amounts, gate=self.parity_gate if decides else None)

    def smaller_by(self, amounts: Mapping[str, float], **others: float | None) -> Project:
        """The same with these amounts of compression and no other, and with other values of [compress]."""
        kept = self.compress.model_dump(include={"keep", "recover_minutes", "augment"})
        compress = CompressTable.model_validate({**kept, **others, **amounts})
        return self.model_copy(update={"compress": compress})

    @property
    def shapes(self) -> dict[str, tuple[tuple[int, ...], str | None]]:
        parsed = (parse_shape(f"{name}={shape}") for name, shape in self.model.shapes.items())
        return {name: (shape, dtype) for name, shape, dtype in parsed}

    @property
    def parity_gate(self) -> Gate:
        """The user's bounds on tensors, or the default gate of the precision."""
        signs = {"sqnr_db": ">=", "cosine": ">=", "argmax_agreement": ">=", "max_abs": "<="}
        given = [
            f"{name}{signs[name]}{value!r}"
            for name, value in self.gate
            if value is not None and name in signs
        ]
        return parse_gate(", ".join(given)) if given else default_gate(self.build.precision)

    @property
    def tensors_decide(self) -> bool:
        """Whether the gate for parity decides what ships; under bounds on task metrics alone it only guides choices."""
        return not self.evaluation.bounds or bool(set(METRICS) & self.gate.model_fields_set)

    @property
    def evaluation(self) -> Request:
        """The task metrics that are asked for, and what they must meet. Raises UsageError."""
        return request(
            self.data.evaluation,
            self.data.metrics,
            self.gate.__pydantic_extra__,
            searched=self.build.precision == AUTO,
        )

    @property
    def gate_expression(self) -> str:
        """All of the gate, as ``--gate`` takes it."""
        tensors = self.parity_gate.thresholds if self.tensors_decide else ()
        return ", ".join(map(str, (*tensors, *self.evaluation.bounds)))


def load(file: Path | None, flags: Mapping[str, Any]) -> Project:
    """Read the file (if any) and lay the flags, nested like the file, over it.

    Paths in the file are relative to it. Raises UsageError that names every wrong key, and the nearest right one.
    """
    table: dict[str, Any] = {}
    if file is not None:
        try:
            table = tomllib.loads(file.read_text())
        except OSError as error:
            raise UsageError(
                f"{file} cannot be read: {error.strerror}.", "Write one with edgepack init."
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{file} is not valid TOML: {error}.", "Mend that line.") from error
        check_keys(table, Project, str(file))
        table = relocate(table, file.parent)
    check_keys(flags, Project, "the command line")
    try:
        return Project.model_validate(merged(table, flags))
    except ValidationError as error:
        raise UsageError(
            explained(error, str(file) if file else "the command line"), "See docs/edgepack.toml.md."
        ) from error
