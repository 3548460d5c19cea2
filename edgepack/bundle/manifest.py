"""The manifest of a bundle. Its JSON Schema is published as docs/manifest.schema.json."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..spec import TensorSpec

SCHEMA_VERSION = 1
SLUG = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
MAX_FILES = 10_000
MAX_BYTES = 8_000_000_000
"""Of all files of a bundle together."""

UNSEALED = "0" * 64

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class QuantizationEntry(Frozen):
    """``real = scale * (stored - zero_point)``"""

    scale: float = Field(gt=0)
    zero_point: int = Field(ge=-(2**31), lt=2**31)


class ImageEntry(Frozen):
    """How pixels enter: values 0..255, in this layout and channel order."""

    layout: Literal["NHWC"] = "NHWC"
    channels: Literal["rgb", "grey"]


class AudioEntry(Frozen):
    """How sound enters: one channel, values -1..1, so many a second."""

    rate: int


class TensorEntry(Frozen):
    """An input or output as the artifact stores it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: QuantizationEntry | None = None
    range: tuple[float, float] | None = None
    image: ImageEntry | None = None
    audio: AudioEntry | None = None
    meaning: str = ""
    top_k: int | None = None

    @classmethod
    def of(cls, spec: TensorSpec) -> TensorEntry:
        """The entry of a tensor whose shape is known. Raises UsageError."""
        stored = spec.quantization
        quantization = QuantizationEntry(scale=stored.scale, zero_point=stored.zero_point) if stored else None
        return cls(name=spec.name, shape=spec.static_shape, dtype=spec.dtype, quantization=quantization)


class ProcessingEntry(Frozen):
    """A declared step: in the graph already (``baked``) or found in the source (``source``)."""

    tensor: str
    step: str
    where: Literal["baked", "source", "kit"]


class MetricsEntry(Frozen):
    """Parity of one output over all held-back samples (see edgepack.parity)."""

    sqnr_db: float
    max_abs: float
    cosine: float
    argmax_agreement: float | None = None


class ParityEntry(Frozen):
    """One row: what a device computes with one backend.

    Attributes:
        backend: of the runtime; empty where it has only one.
        error: why it cannot run there; then there are no outputs.
        beside: how its answers are beside those of the building machine's kernels, in words; empty where there are none.
    """

    passed: bool
    samples: int
    outputs: dict[str, MetricsEntry]
    backend: str = ""
    error: str = ""
    beside: str = ""


class ScoreEntry(Frozen):
    """A task metric of the original and of the artifact (see edgepack.metrics).

    Attributes:
        against: the labels of an evaluation set, or the original's own answers.
        unit: ``%`` for 0 to 100; empty for the outputs' own.
        asked: the bounds of the gate on it.
    """

    original: float
    artifact: float
    samples: int
    against: Literal["labels", "original"]
    unit: str = ""
    asked: tuple[str, ...] = ()
    passed: bool


class AgreementEntry(Frozen):
    """Two targets of one build beside each other, on all held-back samples; the first one's answers are the signal."""

    targets: tuple[str, str]
    outputs: dict[str, MetricsEntry]


class GateEntry(Frozen):
    """The thresholds, and a sentence for each that was not met.

    Attributes:
        asked: by output, the thresholds that apply to it; the default gate asks for agreement only of class probabilities.
    """

    expression: str
    passed: bool
    failures: tuple[str, ...] = ()
    asked: dict[str, tuple[str, ...]] = {}


class IslandEntry(Frozen):
    """An op that has another precision than was asked for, and why."""

    op: str
    kind: str
    reason: str


class AuditEntry(Frozen):
    """What is truly in the artifact (see edgepack.target.Audit)."""

    ops_total: int
    ops_by_precision: dict[str, int]
    tensors_by_dtype: dict[str, int]
    bytes_by_dtype: dict[str, int]
    float_islands: tuple[IslandEntry, ...]
    exceptions: tuple[IslandEntry, ...] = ()
    full_int8: bool
    requires: dict[str, str] = {}


class LayerEntry(Frozen):
    """How far a layer's result is from that of the float32 artifact, and what is known about why.

    Attributes:
        sqnr_db: 300 where there is no error.
        rounding_db: what storing its exact values would leave, of all or of the median channel; null where they are float.
        cause, remedy: in words, of the few layers that matter most.
    """

    op: str
    kind: str
    precision: str
    sqnr_db: float
    rounding_db: float | None = None
    cause: str = ""
    remedy: str = ""


class PointEntry(Frozen):
    """A plan that a search tried, by its name; its SQNR is the least of all outputs', on calibration samples.

    Attributes:
        metrics: those of the task that the gate bounds, on the samples that chose.
    """

    name: str
    bytes: int
    sqnr_db: float
    metrics: dict[str, float] = {}
    passed: bool
    taken: bool


class SearchEntry(Frozen):
    """How ``auto`` came to its plan.

    Attributes:
        default: the precision of every op but those of ``ops``.
        tried: how many plans were tried, probes of single ops among them.
        front: those that no other beat in both bytes and SQNR, smallest first, and what ``auto`` takes.
    """

    default: str
    ops: dict[str, str]
    tried: int
    front: tuple[PointEntry, ...]


class SourceEntry(Frozen):
    name: str
    sha256: Sha256


class FileEntry(Frozen):
    path: str
    sha256: Sha256
    bytes: int = Field(ge=0, le=MAX_BYTES)


class DownloadEntry(Frozen):
    """What a web page's first visit fetches: page, runtime and model; ``compressed`` is each file by gzip."""

    bytes: int
    compressed: int


class GoldenEntry(Frozen):
    """How many held-back samples parity was measured on, and how many of them travel in ``golden/``."""

    measured: int
    shipped: int


class Manifest(Frozen):
    """All that there is to know about a bundle; written last, so that a folder with one is whole.

    Attributes:
        runtime: which of the target's runtimes; empty for its own.
        layers: in the order of the graph; empty for float32, and where the artifact cannot be looked into.
        remedies: what was tried for the accuracy of its integers, and what it gave, in words.
        metrics: of the task, by name, in the runtime on the building machine.
        parity: by device; a further backend of the same device is ``DEVICE/BACKEND``.
        agreements: of every pair of targets that were built together.
        backends: what a web page can compute with, best first, and why this model cannot run there; empty where it can.
        seal: SHA-256 of the manifest's text with ``UNSEALED`` in place of this. It tells damage; it does not tell who wrote it.
    """

    schema_version: Literal[1] = 1
    name: str = Field(pattern=SLUG)
    version: str = Field(pattern=SLUG)
    target: str
    runtime: str = ""
    precision: str
    artifact: tuple[str, ...] = Field(min_length=1)
    source: SourceEntry
    inputs: tuple[TensorEntry, ...]
    outputs: tuple[TensorEntry, ...]
    labels: tuple[str, ...] = ()
    processing: tuple[ProcessingEntry, ...] = ()
    compression: dict[str, float] = {}
    search: SearchEntry | None = None
    layers: tuple[LayerEntry, ...] = ()
    remedies: tuple[str, ...] = ()
    audit: AuditEntry
    gate: GateEntry
    parity: dict[str, ParityEntry]
    metrics: dict[str, ScoreEntry] = {}
    backends: dict[str, str] = {}
    agreements: tuple[AgreementEntry, ...] = ()
    golden: GoldenEntry
    download: DownloadEntry | None = None
    notes: tuple[str, ...] = ()
    command: str
    toolchain: dict[str, str]
    files: tuple[FileEntry, ...] = Field(default=(), max_length=MAX_FILES)
    seal: Sha256 = UNSEALED

    @property
    def bundle_name(self) -> str:
        """The name of the bundle's folder."""
        return bundle_name(self.name, self.version, self.target, self.runtime, self.precision)

    def to_json(self) -> str:
        """Indented, sorted, ending in a newline: the same manifest, the same bytes."""
        return self.model_dump_json(indent=2) + "\n"


def bundle_name(name: str, version: str, target: str, runtime: str, precision: str) -> str:
    """What a bundle's folder is called."""
    return "-".join(filter(None, (name, version, target, runtime, precision)))
