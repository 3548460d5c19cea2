"""The protocol of a loaded original, and of the frameworks that load one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .spec import Affine, Array, Arrays, Signature, TensorSpec
from .wrap import Where, Wrap


@dataclass(frozen=True)
class HandedOver:
    """What a factory made, for the processes that call it again: its weights may be drawn anew each time.

    Attributes:
        weights: for ``LoadRequest.weights``.
        source: a model file that holds it all, if there can be one.
    """

    weights: Path | None = None
    source: Path | None = None


class Model(Protocol):
    """The wrapped original: pre-processing + network + post-processing, callable on named arrays.

    Attributes:
        signature: its inputs and outputs, batch dimension resolved, no unknown dimension left.
        forms: the frameworks whose own object it can give (``tf``, ``torch``).
        scalings: for an input whose values the graph first multiplies and shifts, that step. The samples check uses it
            to notice data that is scaled twice, or not at all.
        processing: the declared steps: (tensor, step in words, ``baked`` into the graph or found in the ``source``).
        notes: what was decided while loading that the user should know.
    """

    @property
    def name(self) -> str: ...
    @property
    def signature(self) -> Signature: ...
    @property
    def forms(self) -> frozenset[str]: ...
    @property
    def scalings(self) -> Mapping[str, Affine]: ...
    @property
    def processing(self) -> tuple[tuple[str, str, Where], ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        """Outputs for one sample; every array has the shape and dtype of the signature."""
        ...

    def form(self, name: str) -> object:
        """The framework's own object, frozen for inference. Raises KeyError for a form not offered."""
        ...


class Movable(Model, Protocol):
    """A model of a framework that another one stands in for."""

    def hand_over(self, folder: Path) -> HandedOver:
        """Write what is needed to make it again, as it is now, in the framework that stands in."""
        ...


@dataclass(frozen=True)
class LoadRequest:
    """All that decides how a source becomes a model.

    Attributes:
        path: a model file or folder; ``None`` when a factory made the object.
        shapes: shapes (and dtypes) that the user gave, by input name.
        sample_specs: what the first sample looks like, where that can be told without the model; used for sources that
            do not know their own inputs.
        allow_code: whether code stored inside a model file (Lambda layers) may run.
        weights: a file that the framework of the original handed over, in place of those of what a factory made.
        original: the signature in that framework, for one that stands in: it tells the order of inputs and outputs.
    """

    name: str
    path: Path | None = None
    signature: str | None = None
    shapes: Mapping[str, tuple[tuple[int, ...], str | None]] = field(default_factory=dict)
    sample_specs: tuple[TensorSpec, ...] = ()
    wrap: Wrap = field(default_factory=Wrap)
    allow_code: bool = False
    weights: Path | None = None
    original: Signature | None = None


@dataclass(frozen=True)
class Origin:
    """The source, as the process found it that asked the original.

    Attributes:
        form: that of the source's own framework.
        signature: of the original there.
        sample_specs: see LoadRequest.
    """

    form: str
    signature: Signature
    sample_specs: tuple[TensorSpec, ...] = ()
    handed_over: HandedOver = field(default_factory=HandedOver)


class Framework(Protocol):
    """What a ``targets/_<name>/framework.py`` module offers."""

    def load(self, request: LoadRequest) -> Model:
        """The model in the file or folder ``request.path``. Raises ModelError, UsageError."""
        ...

    def adopt(self, made: object, request: LoadRequest) -> Model:
        """The model in an object that the user's factory returned. Raises ModelError, UsageError."""
        ...

    def hand_over(self, made: object, folder: Path) -> HandedOver:
        """Write what is needed to make the same object again, here or in a framework that stands in."""
        ...
