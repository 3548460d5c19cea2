"""The protocols that a target fulfils, and the values that pass between it and the pipeline."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from .meter import Meter
from .model import Model
from .precision.causes import Stored
from .precision.notes import Note
from .spec import Array, Arrays, Precision, Signature

if TYPE_CHECKING:
    from .bundle.manifest import Manifest

IO = Literal["auto", "float"]


class Samples(Protocol):
    """Named arrays, one mapping a sample, batch dimension included; can be iterated again and again."""

    def __iter__(self) -> Iterator[Arrays]: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Plan:
    """The precision of every op: a default, and ops that differ, by name.

    Attributes:
        io: ``auto`` gives inputs and outputs the precision of the ops they touch; ``float`` keeps them float32.
        plain: integers by the ranges that were seen and the nearest weights, where a lowering knows better but slower ways.
    """

    default: Precision
    ops: Mapping[str, Precision] = field(default_factory=dict)
    io: IO = "auto"
    plain: bool = False


@dataclass(frozen=True)
class Op:
    """One op of a lowering.

    Attributes:
        name: unique in the graph; what a plan and an error report call it.
        weight_bytes: of its constants, in float32.
        precisions: what it can be emitted in.
        limits: for a precision it cannot take, why.
        weight_db: where storage alone is chosen, how well its weights survive each precision: the least SQNR of them, in dB.
    """

    name: str
    kind: str
    weight_bytes: int
    precisions: frozenset[Precision]
    limits: Mapping[Precision, str] = field(default_factory=dict)
    weight_db: Mapping[Precision, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Artifact:
    """Files that a runtime loads.

    Attributes:
        folder: where they are.
        files: their names in it; the first is the one to open.
    """

    folder: Path
    files: tuple[str, ...]

    @property
    def main(self) -> Path:
        return self.folder / self.files[0]

    @property
    def bytes(self) -> int:
        return sum((self.folder / name).stat().st_size for name in self.files)


@dataclass(frozen=True)
class AuditOp:
    """One op as the artifact really holds it.

    Attributes:
        precision: a ``Precision``; ``integer`` (indices, shapes, booleans) or ``convert`` (quantize, dequantize).
        bytes: of its constants.
        reason: why it has another precision than was asked for.
        reads: the ops whose results it reads, past conversions; empty where that is not known.
    """

    name: str
    kind: str
    precision: str
    bytes: int
    reason: str = ""
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    """What is truly in the artifact.

    Attributes:
        requires: what it asks of the runtime that loads it, by the target's own words: a version, say.
    """

    ops: tuple[AuditOp, ...]
    signature: Signature
    tensors_by_dtype: Mapping[str, int]
    bytes_by_dtype: Mapping[str, int]
    full_int8: bool
    requires: Mapping[str, str] = field(default_factory=dict)

    @property
    def ops_by_precision(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for op in self.ops:
            counts[op.precision] = counts.get(op.precision, 0) + 1
        return dict(sorted(counts.items()))

    @property
    def float_islands(self) -> tuple[AuditOp, ...]:
        """Float ops in an artifact whose other ops are quantized."""
        quantized = {Precision.INT8.value, Precision.INT16X8.value} & set(self.ops_by_precision)
        if not quantized:
            return ()
        return tuple(op for op in self.ops if op.precision in ("float32", "float16", "int8_dynamic"))

    @property
    def exceptions(self) -> tuple[AuditOp, ...]:
        """Ops that hold their weights in more bits than was asked for, each with the reason; no float islands."""
        islands = {op.name for op in self.float_islands}
        return tuple(op for op in self.ops if op.reason and op.name not in islands)

    def largest(self, count: int = 5) -> tuple[AuditOp, ...]:
        """The ops with the most constant bytes, most first."""
        return tuple(sorted((op for op in self.ops if op.bytes), key=lambda op: -op.bytes)[:count])


class Runner(Protocol):
    """An artifact loaded into a runtime; the call shape of a Model: real values in and out."""

    @property
    def signature(self) -> Signature:
        """As the artifact stores it, quantization of inputs and outputs included."""
        ...

    def __call__(self, inputs: Arrays) -> dict[str, Array]: ...

    def layers(self, inputs: Arrays) -> dict[str, Array]:
        """The real-valued outputs of the float and quantized ops on the way, by op name."""
        ...

    def stored(self, inputs: Arrays, weighed: Collection[str] = ()) -> Mapping[str, Stored]:
        """How the results of ops lie in the artifact, and of those in ``weighed`` the weights; without what cannot be told."""
        ...


class Lowering(Protocol):
    """A model lowered to a target in float; converted once, emitted often."""

    @property
    def ops(self) -> Sequence[Op]: ...

    @property
    def improves(self) -> frozenset[Precision]:
        """The precisions whose integers are more accurate, and take longer to find, where a plan is not ``plain``."""
        ...

    @property
    def notes(self) -> Sequence[Note]:
        """What was tried so far to make integers more accurate."""
        ...

    def emit(self, plan: Plan, out: Path) -> Artifact:
        """Write the artifact for a plan into the empty folder ``out``. Calibrates at most once, when first needed."""
        ...


class Tool(Protocol):
    """Something outside of edgepack that a target needs."""

    @property
    def name(self) -> str: ...

    def verify(self) -> str:
        """Its version. Raises MissingToolError, which says how to install it."""
        ...


@dataclass(frozen=True)
class File:
    """A file of a kit: a text, or the bytes of a file that lies elsewhere.

    Attributes:
        path: relative to the kit's folder.
        source: what to copy, in place of ``text``.
        first_visit: whether a web page fetches it before it can answer; the artifact always is.
    """

    path: str
    text: str = ""
    source: Path | None = None
    first_visit: bool = False

    def bytes(self) -> bytes:
        return self.text.encode() if self.source is None else self.source.read_bytes()


class Target(Protocol):
    """What ``targets/<name>/target.py`` offers under the name ``target``."""

    @property
    def name(self) -> str: ...
    @property
    def kit_folder(self) -> str:
        """Where in a bundle the kit lies: ``kit``, or ``""`` where the whole bundle is what an app serves."""
        ...

    @property
    def host_backends(self) -> tuple[str, ...]:
        """What its runtime can compute with on this machine, best first; empty where there is no choice."""
        ...

    def tools(self) -> Sequence[Tool]: ...

    def lower(self, model: Model, calibration: Samples, workdir: Path) -> Lowering:
        """Convert to the target's format, in float. Raises ModelError that names an op the target lacks."""
        ...

    def open(self, artifact: Artifact, backend: str = "") -> Runner:
        """Load into the target's runtime on this machine, on the best backend or one of ``host_backends``.

        Raises:
            ModelError: the runtime cannot load it; or, when it is called, cannot run it.
        """
        ...

    def meter(self, artifact: Artifact, backend: str = "", threads: int = 1) -> Meter:
        """Load to be measured, on a backend as ``open`` does, in a process that is asked for nothing else. Raises as ``open``."""
        ...

    def backends(self, runner: Runner, inputs: Arrays) -> Mapping[str, str]:
        """What a user's device may compute with, best first, and why this artifact cannot run there (or nothing).

        Args:
            runner: one that ``open`` gave, and that has answered these ``inputs``.
        """
        ...

    def audit(self, artifact: Artifact) -> Audit: ...

    def traced(self, artifact: Artifact, out: Path) -> Artifact:
        """The same artifact with the results of its ops as further outputs, under their names, in the order they run.

        Args:
            out: a folder; may be the one that the artifact lies in.

        Raises:
            ModelError: its layers cannot be read so.
        """
        ...

    def kit(self, manifest: Manifest, golden: Arrays) -> Iterable[File]:
        """Integration code with this model's names, shapes and scales in it.

        Args:
            manifest: its ``files`` are those already in the bundle: artifact, labels, golden vectors.
            golden: one golden vector, ``inputs/NAME`` and ``outputs/NAME``, for the kit's self-test.
        """
        ...
