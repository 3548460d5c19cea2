"""Declared pre- and post-processing: what, not how. Each framework realises it in its own graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from .errors import UsageError
from .spec import Affine, TensorSpec

Activation = Literal["none", "softmax", "sigmoid"]
Layout = Literal["NHWC", "NCHW"]
Channels = Literal["rgb", "bgr", "grey"]


@dataclass(frozen=True)
class InputWrap:
    """What the app feeds, and how it becomes what the network wants.

    An image input is fed NHWC, in RGB or grey, values 0..255. The network gets
    ``(x * scale + offset - mean) / std``, its channels in the order ``channels``, in the layout ``layout``.
    An audio input is fed one channel, values -1..1, ``rate`` of them a second.

    Attributes:
        scale, offset, mean, std: one value, or one a channel in the network's channel order.
        rate: of audio, in values a second.
    """

    kind: Literal["image", "audio", "tensor"] = "tensor"
    layout: Layout = "NHWC"
    channels: Channels | None = None
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    rate: int | None = None

    def check(self, spec: TensorSpec) -> None:
        """Refuse a declaration that does not fit the input. Raises UsageError."""
        shape = spec.static_shape
        channel_axis = 1 if self.layout == "NCHW" else 3
        if self.kind == "image" and (len(shape) != 4 or shape[channel_axis] not in (1, 3)):
            raise UsageError(
                f"The input '{spec.name}' is to be an image, as declared or for a folder of images, but takes {spec}.",
                'An image input has 4 dimensions, 1 or 3 channels; for channels first declare layout = "NCHW".',
            )
        is_sound = len(shape) == 2 or (len(shape) == 3 and shape[2] == 1)
        if self.kind == "audio" and not (is_sound and spec.dtype == "float32"):
            raise UsageError(
                f"The input '{spec.name}' is to be audio, but takes {spec}.",
                "An audio input is float32 of [1, values] or [1, values, 1]; leave it a tensor otherwise.",
            )
        if (self.kind == "audio") != (self.rate is not None):
            raise UsageError(
                f"The input '{spec.name}' has a rate but is no audio."
                if self.rate
                else f"The audio input '{spec.name}' has no rate.",
                'An audio input has both: kind = "audio", rate = 16000.',
            )

    @property
    def affine(self) -> Affine:
        """The declared normalisation as one multiplication and one addition a channel."""
        size = max(len(values) for values in (self.scale, self.offset, self.mean, self.std))

        def spread(values: tuple[float, ...]) -> tuple[float, ...]:
            if len(values) not in (1, size):
                raise UsageError(
                    f"An input's scale, offset, mean and std have {len(values)} and {size} values.",
                    "Give one value, or one for every channel.",
                )
            return values * size if len(values) == 1 else values

        scale, offset, mean, std = map(spread, (self.scale, self.offset, self.mean, self.std))
        return Affine(
            tuple(s / d for s, d in zip(scale, std, strict=True)),
            tuple((o - m) / d for o, m, d in zip(offset, mean, std, strict=True)),
        )


@dataclass(frozen=True)
class OutputWrap:
    """What becomes of an output: an activation in the graph, and how many best classes the kit shows.

    The ranking itself stays out of the graph: it would hide the distribution that parity compares, and no runtime
    can return label text anyway. The kit ranks and looks labels up.
    """

    activation: Activation = "none"
    top_k: int | None = None


@dataclass(frozen=True)
class Wrap:
    """The declarations for every input and output, by name.

    Attributes:
        otherwise: for an input with none; a folder of images makes it an image.
    """

    inputs: tuple[tuple[str, InputWrap], ...] = ()
    outputs: tuple[tuple[str, OutputWrap], ...] = ()
    otherwise: InputWrap | None = None

    def input(self, name: str) -> InputWrap | None:
        return dict(self.inputs).get(name, self.otherwise)

    def output(self, name: str) -> OutputWrap | None:
        return dict(self.outputs).get(name)

    def check_outputs(self, names: Sequence[str]) -> None:
        """Refuse a declaration for an output that the model has not. Raises UsageError with the nearest name."""
        for name, _ in self.outputs:
            if name not in names:
                near = get_close_matches(name, names, 1)
                raise UsageError(
                    f"The model has no output '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
                    f"Its outputs: {', '.join(names)}.",
                )
