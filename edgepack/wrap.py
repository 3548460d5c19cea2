"""Declared pre- and post-processing: what, not how. Each framework realises it in its own graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from .errors import UsageError
from .spec import Affine, TensorSpec

Activation = Literal["none", "softmax", "sigmoid"]
Layout = Literal["NHWC", "NCHW"]
Where = Literal["baked", "source"]
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
class Found:
    """What a source does at its own edges.

    Attributes:
        scalings: the multiplication and addition that an input's values first go through, where there is one.
        activations: the activation that an output ends with, where there is one.
    """

    scalings: Mapping[str, Affine]
    activations: Mapping[str, str]


@dataclass(frozen=True)
class InputSteps:
    """What is to be put in front of one input, in this order.

    Attributes:
        fed: what the app feeds.
        swap: RGB becomes BGR.
        affine: the multiplication and addition; ``None`` where there is none, or the source has it.
        transpose: NHWC becomes NCHW.
    """

    fed: TensorSpec
    swap: bool
    affine: Affine | None
    transpose: bool


@dataclass
class Decided:
    """Where each declared step is, and what the user should know of that."""

    processing: list[tuple[str, str, Where]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def input(self, spec: TensorSpec, step: InputWrap, found: Found) -> InputSteps:
        """The declared steps that an input lacks. Raises UsageError where the declaration does not fit.

        Args:
            spec: as the source takes it.
        """
        step.check(spec)
        shape = spec.static_shape
        transpose = step.layout == "NCHW" and len(shape) == 4
        fed = (shape[0], shape[2], shape[3], shape[1]) if transpose else shape
        if len(step.affine.scale) not in (1, fed[-1]):
            raise UsageError(
                f"The input '{spec.name}' has {fed[-1]} channels; {len(step.affine.scale)} values are declared for them.",
                "Give one value, or one for every channel.",
            )
        affine = self._lacking(spec.name, step.affine, found.scalings.get(spec.name))
        swap = step.channels == "bgr" and fed[-1] == 3
        self.processing += [(spec.name, "RGB to BGR", "baked")] if swap else []
        self.processing += [(spec.name, "NHWC to NCHW", "baked")] if transpose else []
        is_image = step.kind == "image"
        fed_spec = TensorSpec(
            spec.name,
            fed,
            "float32" if is_image or affine else spec.dtype,
            range=(0.0, 255.0) if is_image else None,
        )
        return InputSteps(fed_spec, swap, affine, transpose)

    def _lacking(self, name: str, declared: Affine, there: Affine | None) -> Affine | None:
        if declared.is_identity:
            return None
        if there is not None and there.close_to(declared):
            self.notes.append(
                f"The source already computes {declared} of the input '{name}'; it is not added twice."
            )
            self.processing.append((name, str(declared), "source"))
            return None
        if there is not None:
            self.notes.append(
                f"The source begins with {there} of the input '{name}'; the declared {declared} comes before it."
            )
        self.processing.append((name, str(declared), "baked"))
        return declared

    def activation(self, name: str, declared: Activation, found: Found) -> Activation:
        """The activation to put behind an output; ``none`` where the source has it."""
        if declared == "none":
            return "none"
        if found.activations.get(name) == declared:
            self.notes.append(f"The output '{name}' already ends with {declared}; it is not added twice.")
            self.processing.append((name, declared, "source"))
            return "none"
        self.processing.append((name, declared, "baked"))
        return declared


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
