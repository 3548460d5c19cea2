"""The seam to the frameworks: a model that is made smaller, with the original at hand as its teacher.

A model that can be compressed has a method ``student() -> Student``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from ..model import Model
from ..spec import Array, Arrays
from .recover import Moments

Kind = Literal["conv", "depthwise", "linear", "weights"]


@dataclass(frozen=True)
class Layer:
    """A layer whose weights are one matrix.

    Attributes:
        shape: [out, in], a convolution's ``in`` being input channels times the places of its kernel.
        kind: ``depthwise`` is any convolution in groups: an output sees only some of the inputs. ``weights`` are a matrix
            whose inputs are not known: an embedding's, one inside a loop.
        has_bias: so that a shift of the mean can be taken up.
        splits: two layers can take its place (see ``Student.split``).
        places: at which one sample asks it, over all its calls: positions of a convolution's output, steps of a sequence.
    """

    name: str
    kind: Kind
    shape: tuple[int, int]
    has_bias: bool
    places: int
    splits: bool = False

    @property
    def has_inputs(self) -> bool:
        """Whether there are moments of what the weights multiply."""
        return self.kind not in ("depthwise", "weights")

    @property
    def macs(self) -> int:
        """Multiplications and additions for one sample, zeros counted like other weights."""
        return self.shape[0] * self.shape[1] * self.places


@dataclass(frozen=True)
class Hold:
    """What training must leave as it is in a layer.

    Attributes:
        mask: [out, in], False where a weight stays zero.
        codes: sorted, -1..1; weights are codes times ``scales`` [out, 1].
    """

    mask: Array | None = None
    codes: Array | None = None
    scales: Array | None = None


@dataclass(frozen=True, eq=False)
class Group:
    """Channels that run through the same layers, each of which can be removed from them all.

    Attributes:
        rows: of the weights of layers that make them, or pass them on one by one: [channels, n] by layer.
        columns: of the weights of layers that read them, [channels, n] by layer.
    """

    rows: Mapping[str, Array]
    columns: Mapping[str, Array]

    @property
    def size(self) -> int:
        """How many channels."""
        return len(next(iter(self.columns.values())))


class Student(Protocol):
    """See the module. Samples are those of the model's signature, a batch of 1 each."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Those that can be changed, in the order in which they first compute."""
        ...

    def teach(self, inputs: Arrays) -> dict[str, Array]:
        """The teacher's outputs for one sample."""
        ...

    def towards(
        self, samples: Sequence[Arrays], output: str, classes: Sequence[int]
    ) -> list[dict[str, Array]]:
        """How the teacher sees a class in each of the samples: by their inputs, those that are floats, the gradient of the
        logarithm of the class's probability.

        Args:
            output: tells the probabilities of classes, [1, classes].
        """
        ...

    def weight(self, name: str) -> Array:
        """[out, in], float32, as it is now."""
        ...

    def change(self, name: str, weight: Array, shift: Array | None = None) -> None:
        """Give a layer other weights, and add ``shift`` [out] to its bias."""
        ...

    def moments(self, names: Sequence[str], samples: Iterable[Arrays]) -> dict[str, Moments]:
        """Of the (unfolded) inputs of layers that have them, over all samples and places."""
        ...

    def walk(self, names: Sequence[str], samples: Sequence[Arrays]) -> Iterator[tuple[str, Moments]]:
        """The moments of one layer after the other, as ``moments`` gives them; changed layers feed those that come later.

        Args:
            names: in the order of ``layers``.
            samples: where they are large, as many as memory takes (see lockstep).
        """
        ...

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        """The student's outputs for one sample."""
        ...

    def hold(self, holds: Mapping[str, Hold]) -> None:
        """From now on ``learn`` keeps these; what a layer has now must be so already."""
        ...

    def learn(self, batch: Sequence[Arrays], rate: float) -> float:
        """One gradient step towards the teacher's outputs and the held layers' outputs; returns the loss before it.

        Args:
            rate: Adam's, times the ``spans`` that what it moves has when it is held (see distil).
        """
        ...

    def release(self) -> None:
        """Hold nothing any more; weights stay what they compute as."""
        ...

    def save(self, path: Path) -> None:
        """All that changes, of the layers and of training."""
        ...

    def restore(self, path: Path) -> None:
        """What ``save`` wrote, under the same holds."""
        ...

    def split(self, factors: Mapping[str, tuple[Array, Array]]) -> Student:
        """Another student of the same teacher, in which two layers take the place of one.

        Args:
            factors: by layer, the weights [rank, in] of the first and [out, rank] of the second, which has the bias.
        """
        ...

    def groups(self) -> tuple[Group, ...]:
        """The channels that can be removed; the same ones in the same order for the same original."""
        ...

    def slim(self, gone: Mapping[Group, Array]) -> None:
        """Remove channels, by group, that no layer uses any more: their columns are zero.

        Behind it the student only answers, tells its layers and their weights, and gives its model.
        """
        ...

    def model(self) -> Model:
        """The student as a model like the original, what was held released."""
        ...


@runtime_checkable
class Teacher(Protocol):
    """A model of which students can be made."""

    def student(self) -> Student:
        """To be made smaller; the model itself may be used up by it. Raises ModelError where the source has no layers."""
        ...
