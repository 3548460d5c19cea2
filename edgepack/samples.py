"""The representative dataset: read once, checked, split by a fixed rule, kept on disk for every later stage."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import UsageError
from .events import Step, warn
from .model import Model
from .readers import read_samples
from .records import Records, RecordWriter
from .spec import Array, TensorSpec, format_shape
from .wrap import Wrap

HELD_BACK_EVERY = 4
"""Sample number 3, 7, 11, ... is held back: 3 for calibration, 1 to judge by, whatever the order of the file."""

FEWEST = 4
FEW = 20


@dataclass(frozen=True)
class DataRequest:
    """Which samples to use.

    Attributes:
        source: a .npz or .npy file, a folder of images, or ``file.py:generator``.
        samples: at most so many in all.
        calibration, held_back: at most so many of each part.
    """

    source: str
    samples: int | None = None
    calibration: int | None = None
    held_back: int | None = None


@dataclass(frozen=True)
class SampleSet:
    calibration: Records
    held_back: Records


def collect(request: DataRequest, model: Model, wrap: Wrap, workdir: Path, step: Step) -> SampleSet:
    """Read, check and split the samples.

    Raises:
        UsageError: too few; one that does not fit the model, is not finite, or all that are constant. Names the sample
            and the input.
    """
    inputs = model.signature.inputs
    dtypes = {spec.name: spec.dtype for spec in inputs}
    checks = {spec.name: _Check(spec) for spec in inputs}
    parts = {name: RecordWriter(workdir / f"{name}.records", dtypes) for name in ("calibration", "held_back")}
    limits = {
        "calibration": request.calibration or sys.maxsize,
        "held_back": request.held_back or sys.maxsize,
    }
    with parts["calibration"], parts["held_back"]:
        stream = read_samples(request.source, inputs, wrap, request.samples)
        for number, (label, arrays) in enumerate(step.track(stream, request.samples)):
            part = "held_back" if number % HELD_BACK_EVERY == HELD_BACK_EVERY - 1 else "calibration"
            if parts[part].count >= limits[part]:
                if all(parts[name].count >= limit for name, limit in limits.items()):
                    break
                continue
            fitted = fit(arrays, inputs, label)
            for name, array in fitted.items():
                checks[name].see(array, label)
            try:
                parts[part].write(fitted)
            except ValueError as error:
                raise UsageError(
                    f"{label} has other types than the samples before it.", str(error)
                ) from error
    _check_counts(request, parts["calibration"].count, parts["held_back"].count)
    for check in checks.values():
        check.conclude(model, wrap)
    step.detail = f"{parts['calibration'].count} to calibrate, {parts['held_back'].count} held back"
    return SampleSet(parts["calibration"].records, parts["held_back"].records)


def fit(arrays: dict[str, Array], inputs: tuple[TensorSpec, ...], label: str) -> dict[str, Array]:
    """A sample as the model takes it. Raises UsageError that names the sample and the input."""
    return {spec.name: _fit(_pick(arrays, spec, label, len(inputs) == 1), spec, label) for spec in inputs}


def _pick(arrays: dict[str, Array], spec: TensorSpec, label: str, only: bool) -> Array:
    if spec.name not in arrays:
        if len(arrays) == 1 and only:
            return next(iter(arrays.values()))  # one array, one input: the name does not matter
        raise UsageError(
            f"{label} has no array for the input '{spec.name}'; it has {', '.join(map(str, arrays)) or 'none'}.",
            "Name the arrays as the model's inputs, or yield a tuple in their order.",
        )
    return arrays[spec.name]


def _fit(array: Array, spec: TensorSpec, label: str) -> Array:
    """The array with the input's shape and a dtype that it can be handed out from. Raises UsageError."""
    shape = spec.static_shape
    if array.shape != shape and _without_ones(array.shape) == _without_ones(shape):
        array = array.reshape(shape)  # a batch of one, or a single channel, that the sample leaves out
    if array.shape != shape:
        raise UsageError(
            f"{label} has the shape {format_shape(array.shape)} for the input '{spec.name}', "
            f"which takes {format_shape(shape)}." + _layout_hint(array.shape, shape),
            _shape_hint(array.shape, spec),
        )
    wanted = np.dtype(spec.dtype)
    if wanted.kind == "f" and array.dtype.kind in "fiub":
        with np.errstate(over="ignore"):
            fitted = array if array.dtype == np.uint8 else array.astype(wanted)
        if not np.isfinite(fitted).all():
            raise UsageError(
                f"{label} has NaN or infinite values in the input '{spec.name}'.",
                f"Leave it out or mend it; what is beyond {spec.dtype} counts as infinite.",
            )
        return fitted
    if wanted.kind in "iu" and array.dtype.kind in "iub":
        limits = np.iinfo(wanted)
        if array.size and (array.min() < limits.min or array.max() > limits.max):
            raise UsageError(
                f"{label} has values beyond {spec.dtype} in the input '{spec.name}'.",
                "Give values that fit it.",
            )
        return array.astype(wanted)
    if wanted == array.dtype:
        return array
    raise UsageError(
        f"{label} is {array.dtype.name} for the input '{spec.name}', which takes {spec.dtype}.",
        f"Convert it: array.astype('{spec.dtype}').",
    )


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _layout_hint(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if found[-3:] != wanted[-3:] and wanted[-3:] in (_first(found[-3:]), _last(found[-3:])):
        return " It looks like the other layout, channels first against channels last."
    return ""


def _shape_hint(found: tuple[int, ...], spec: TensorSpec) -> str:
    shape = spec.static_shape
    hint = f"Give samples of {format_shape(shape[1:] or shape)}, or another --shape {spec.name}=...."
    if len(shape) == 4 and shape[1] in (1, 3) and shape[-3:] == _first(found[-3:]):
        hint += f' To feed channels last, declare [input.{spec.name}] kind = "image", layout = "NCHW".'
    return hint


def _first(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[-1:], *shape[:-1])


def _last(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[1:], *shape[:1])


def _check_counts(request: DataRequest, calibration: int, held_back: int) -> None:
    total = calibration + held_back
    if calibration == 0 or held_back == 0 or total < FEWEST:
        raise UsageError(
            f"{request.source} gives {total} samples; at least {FEWEST} are needed, one of them held back.",
            "Give more, 100 or so; samples from real use, not from the training set's first class.",
        )
    if total < FEW:
        warn(f"Only {total} samples: ranges from so few rarely hold in use. Give 100 or more.")


@dataclass
class _Check:
    """What all samples of one input have in common, seen one at a time."""

    spec: TensorSpec
    low: float = float("inf")
    high: float = float("-inf")
    integral: bool = True
    first: Array | None = None
    varies: bool = False
    widest: str = ""

    def see(self, array: Array, label: str) -> None:
        low, high = float(array.min()), float(array.max())
        if high > self.high:
            self.widest = label
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.integral = self.integral and (
            array.dtype.kind in "iub" or bool(np.array_equal(array, np.rint(array)))
        )
        if self.first is None:
            self.first = array
        elif not self.varies:
            self.varies = not np.array_equal(array, self.first)

    def conclude(self, model: Model, wrap: Wrap) -> None:
        name = self.spec.name
        if self.spec.dtype == "float32" and self.low == self.high:
            raise UsageError(
                f"Every value of the input '{name}' is {self.low:g} in all samples.",
                "Calibration needs data as in real use; a constant gives ranges that break on the first real input.",
            )
        if not self.varies:
            warn(
                f"All samples of the input '{name}' are the same. Ranges measured on one sample will not hold in use."
            )
        if self.spec.dtype == "float32":
            self._warn_scaling(model, wrap)

    def _warn_scaling(self, model: Model, wrap: Wrap) -> None:
        name = self.spec.name
        declared = wrap.input(name)
        if declared is not None and declared.kind == "audio" and max(-self.low, self.high) > 2:
            warn(
                f"The audio input '{name}' gets values {self.low:g} to {self.high:g} ({self.widest}); sound is fed as -1..1. "
                "Divide 16-bit samples by 32768."
            )
        is_image = len(self.spec.shape) == 4 or (declared is not None and declared.kind == "image")
        raw = self.integral and self.low >= 0 and 2 < self.high <= 255
        scaling = model.scalings.get(name)
        if raw and scaling is None and is_image:
            warn(
                f"The input '{name}' gets values {self.low:g} to {self.high:g} ({self.widest}), like raw pixels, and "
                "nothing in the model scales them. If it was trained on 0..1 or -1..1, every int8 range will be wrong: "
                f"declare [input.{name}] scale and offset in edgepack.toml, or --input {name}:scale=...,offset=...."
            )
        elif (
            scaling is not None
            and max(map(abs, scaling.scale)) <= 1 / 32
            and self.low >= -1.5
            and self.high <= 1.5
        ):
            warn(
                f"The input '{name}' gets values {self.low:g} to {self.high:g} ({self.widest}), and the model then "
                f"multiplies them by {max(scaling.scale):.4g}: they look scaled already. Feed raw values."
            )
