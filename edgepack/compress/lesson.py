"""The calibration samples as a lesson: most of them to learn from, the others to see how the student stands."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..records import Records
from ..spec import Array, Arrays, Signature
from . import augment

LOOK_EVERY, LOOKS = 4, 64
"""Every fourth sample, at most so many, is looked at and not learnt from."""


class Lesson:
    """See the module.

    Attributes:
        looks: the samples that are not learnt from, in memory.
    """

    def __init__(self, calibration: Records, signature: Signature) -> None:
        looks = range(min(LOOK_EVERY, len(calibration)) - 1, len(calibration), LOOK_EVERY)[:LOOKS]
        rest = [index for index in range(len(calibration)) if index not in looks]
        self.looks: list[Arrays] = [calibration[index] for index in looks]
        self._calibration, self._signature = calibration, signature
        self._learnt = rest or list(looks)
        self._photos = augment.layouts(signature.inputs)

    def some(self, count: int) -> list[Arrays]:
        """At most so many of those to learn from, evenly."""
        every = -(-len(self._learnt) // count)
        return [self._calibration[index] for index in self._learnt[::every]]

    def many(self, count: int) -> Iterator[Arrays]:
        """So many, those to learn from and, beyond them, changed ones."""
        yield from self.some(count)
        for number in range(max(0, count - len(self._learnt))):
            yield from self.batch(1, ~number & 0xFFFF)

    def batch(self, count: int, number: int) -> list[dict[str, Array]]:
        """At most so many, drawn and changed at random (see augment); the same for the same number."""
        rng = np.random.default_rng(number)
        drawn = rng.permutation(self._learnt)[:count]
        samples = [self._calibration[int(index)] for index in drawn]
        return augment.batch(samples, self._signature, self._photos, rng)
