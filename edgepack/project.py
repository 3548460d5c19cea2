"""edgepack.toml and the command line's flags -> one frozen Project."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from .bundle.manifest import SLUG
from .compress.prune import MOST
from .compress.stage import Wanted
from .errors import UsageError
from .metrics.request import Request, check_thresholds, request
from .parity import Gate, default_gate, parse_gate
from .samples import DataRequest
from .spec import Precision, parse_shape
from .target import IO
from .usercode import is_reference
from .wrap import Activation, Channels, InputWrap, Layout, OutputWrap, Wrap

FILE = "edgepack.toml"


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _as_share(value: object) -> object:
    """A share of weights that goes, or ``auto``. Raises ValueError."""
    if value is None or value == "auto":
        return value
    try:
        share = float(str(value))
    except ValueError:
        share = 0.0
    if not 0 < share <= MOST:
        raise ValueError(f"it takes a share above 0 and at most {MOST}, or auto")
    return share


Values = Annotated[tuple[float, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
Nonzero = Annotated[float, Field(gt=0)]
Positive = Annotated[tuple[Nonzero, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
Count = Annotated[int, Field(gt=0)]


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
    metrics: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()


class BuildTable(Table):
    """[build]"""

    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("tflite",)
    precision: Precision = Precision.INT8
    runtime: str = ""
    io: IO = "auto"
    layout: Literal["auto", "keep"] = "auto"
    out: str = "dist"
    zip: bool = False
    devices: tuple[str, ...] = ()


class CompressTable(Table):
    """[compress]"""

    prune: Annotated[float | Literal["auto"] | None, BeforeValidator(_as_share)] = None
    cluster: Annotated[int, Field(ge=4, le=255)] | None = None
    prune_channels: Annotated[float, Field(gt=0, le=0.9)] | None = None
    recover_minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    keep: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()

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
        request(self.data.evaluation, self.data.metrics, self.gate.__pydantic_extra__)
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
        amounts = dict(self.compress)
        decides = self.compress.recover_minutes is None and not self.evaluation.bounds
        gate = self.parity_gate if decides else None
        return Wanted(**(amounts | {"prune": None} if self.compress.is_auto else amounts), gate=gate)

    @property
    def shapes(self) -> dict[str, tuple[tuple[int, ...], str | None]]:
        parsed = (parse_shape(f"{name}={shape}") for name, shape in self.model.shapes.items())
        return {name: (shape, dtype) for name, shape, dtype in parsed}

    @property
    def parity_gate(self) -> Gate:
        """What every output must meet: the user's gate, or the default one of the precision where there is none at all."""
        signs = {"sqnr_db": ">=", "cosine": ">=", "argmax_agreement": ">=", "max_abs": "<="}
        given = [
            f"{name}{signs[name]}{value!r}"
            for name, value in self.gate
            if value is not None and name in signs
        ]
        if given:
            return parse_gate(", ".join(given))
        return Gate(()) if self.evaluation.bounds else default_gate(self.build.precision)

    @property
    def evaluation(self) -> Request:
        """The task metrics that are asked for, and what they must meet. Raises UsageError."""
        return request(self.data.evaluation, self.data.metrics, self.gate.__pydantic_extra__)

    @property
    def gate_expression(self) -> str:
        """All of the gate, as ``--gate`` takes it."""
        return ", ".join(map(str, (*self.parity_gate.thresholds, *self.evaluation.bounds)))


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
        _check_keys(table, Project, str(file))
        table = _relocate(table, file.parent)
    _check_keys(flags, Project, "the command line")
    try:
        return Project.model_validate(_merge(table, flags))
    except ValidationError as error:
        raise UsageError(
            _explain(error, str(file) if file else "the command line"), "See docs/edgepack.toml.md."
        ) from error


def _check_keys(table: Mapping[str, Any], model: type[BaseModel], where: str) -> None:
    problems: list[str] = []
    _find_wrong_keys(table, model, "", problems)
    if problems:
        raise UsageError(f"{where}: " + " ".join(problems), "See docs/edgepack.toml.md for every key.")


def _find_wrong_keys(
    table: Mapping[str, Any], model: type[BaseModel], path: str, problems: list[str]
) -> None:
    for key, value in table.items():
        if key not in model.model_fields and model.model_config.get("extra") != "allow":
            near = get_close_matches(key, model.model_fields, 1)
            problems.append(
                f"there is no key '{path}{key}'."
                + (
                    f" Did you mean '{path}{near[0]}'?"
                    if near
                    else f" Keys: {', '.join(model.model_fields)}."
                )
            )
            continue
        inner = model.model_fields[key].annotation if key in model.model_fields else None
        if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, BaseModel):
            _find_wrong_keys(value, inner, f"{path}{key}.", problems)
        elif key in ("input", "output") and model is Project and isinstance(value, dict):
            for name, entry in value.items():
                if isinstance(entry, dict):
                    inside: type[BaseModel] = InputTable if key == "input" else OutputTable
                    _find_wrong_keys(entry, inside, f"{key}.{name}.", problems)


def _relocate(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the paths in a file's table relative to the current folder."""

    def move(value: object) -> object:
        if not isinstance(value, str) or not value or (is_reference(value) and ".py:" not in value):
            return value
        return str(folder / value) if folder != Path() else value

    for section, key in (
        ("model", "source"),
        ("model", "labels"),
        ("data", "representative"),
        ("data", "evaluation"),
        ("build", "out"),
    ):
        if isinstance(table.get(section), dict) and key in table[section]:
            table[section][key] = move(table[section][key])
    named = table.get("data", {}).get("metrics") if isinstance(table.get("data", {}), dict) else None
    if isinstance(named, list):
        table["data"]["metrics"] = [move(each) if ".py:" in str(each) else each for each in named]
    if isinstance(table.get("build", {}), dict) and folder != Path():
        table.setdefault("build", {}).setdefault("out", str(folder / "dist"))
    return table


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both_tables = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both_tables else value
    return merged


def _explain(error: ValidationError, where: str) -> str:
    lines = []
    for each in error.errors():
        key = ".".join(str(part) for part in each["loc"] if not str(part).startswith("function"))
        lines.append(f"{key}: {each['msg']} (got {each['input']!r}).")
    return f"{where}: " + " ".join(lines)
