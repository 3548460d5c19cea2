"""Images as a target's users have them, channels last, in front of a model that takes them channels first.

The model, the recorded samples and the answers stay as the source has them, for all targets; what a target that wants
channels last is shown is a view.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from .model import Model
from .records import Field, Records
from .samples import SampleSet
from .spec import Affine, Array, Arrays, Signature, TensorSpec
from .wrap import Where

Size = TypeVar("Size", int, int | None)

CHANNELS = (1, 3, 4)
"""Grey, RGB, and RGB with alpha."""


def channels_last(model: Model, samples: SampleSet) -> tuple[Model, SampleSet]:
    """The model and its samples with every image that the model takes as NCHW seen as NHWC; as they are, without any."""
    images = frozenset(spec.name for spec in model.signature.inputs if _is_image(model, spec))
    if not images:
        return model, samples
    return ChannelsLast(model, images), SampleSet(
        ChannelsLastRecords.of(samples.calibration, images), ChannelsLastRecords.of(samples.held_back, images)
    )


def seen_by(model: Model, records: Records) -> Records:
    """Inputs as the original takes them, as that model takes them."""
    images = turned_inputs(model)
    return ChannelsLastRecords.of(records, images) if images else records


def turned_inputs(model: Model) -> frozenset[str]:
    """The inputs that a form of the model takes as NCHW, and the model's signature has as NHWC."""
    return model.images if isinstance(model, ChannelsLast) else frozenset()


def _is_image(model: Model, spec: TensorSpec) -> bool:
    """Whether an input is an image of a framework that has channels first.

    Where the last dimension could be the channels too, as in an image that is fed as NHWC already, nobody can tell.
    """
    if model.forms != {"torch"} or len(spec.shape) != 4 or np.dtype(spec.dtype).kind != "f":
        return False
    return spec.shape[1] in CHANNELS and spec.shape[3] not in CHANNELS


@dataclass(frozen=True)
class ChannelsLast:
    """A model whose ``images`` are fed as NHWC (see edgepack.model.Model). Its forms stay as the source has them."""

    model: Model
    images: frozenset[str]

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def signature(self) -> Signature:
        inputs = self.model.signature.inputs
        return replace(
            self.model.signature,
            inputs=tuple(
                replace(spec, shape=_turned(spec.shape)) if spec.name in self.images else spec
                for spec in inputs
            ),
        )

    @property
    def forms(self) -> frozenset[str]:
        return self.model.forms

    @property
    def scalings(self) -> Mapping[str, Affine]:
        return self.model.scalings

    @property
    def processing(self) -> tuple[tuple[str, str, Where], ...]:
        turned = [spec.name for spec in self.model.signature.inputs if spec.name in self.images]
        baked: Where = "baked"
        return *((name, "NHWC to NCHW", baked) for name in turned), *self.model.processing

    @property
    def notes(self) -> tuple[str, ...]:
        return self.model.notes

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        return self.model(
            {
                name: np.moveaxis(array, 3, 1) if name in self.images else array
                for name, array in inputs.items()
            }
        )

    def form(self, name: str) -> object:
        return self.model.form(name)


@dataclass(frozen=True)
class ChannelsLastRecords(Records):
    """Records whose ``images`` are handed out as NHWC; on disk they stay as they are in ``source``."""

    source: Records
    images: frozenset[str]

    @classmethod
    def of(cls, source: Records, images: frozenset[str]) -> ChannelsLastRecords:
        fields = tuple(
            Field(field.name, _turned(field.shape), field.dtype, field.stored)
            if field.name in images
            else field
            for field in source.fields
        )
        return cls(source.path, fields, source.count, source, images)

    def __iter__(self) -> Iterator[dict[str, Array]]:
        for record in self.source:
            yield self._turn(record, 1)

    def __getitem__(self, index: int) -> dict[str, Array]:
        """See Records."""
        return self._turn(self.source[index], 1)

    def stacked(self, count: int) -> dict[str, Array]:
        """See Records.stacked."""
        return self._turn(self.source.stacked(count), 2)

    def _turn(self, arrays: Arrays, channels: int) -> dict[str, Array]:
        return {
            name: np.ascontiguousarray(np.moveaxis(array, channels, -1)) if name in self.images else array
            for name, array in arrays.items()
        }


def _turned(shape: tuple[Size, ...]) -> tuple[Size, ...]:
    batch, channels, height, width = shape
    return batch, height, width, channels
