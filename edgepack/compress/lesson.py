"""The calibration samples as a lesson: most of them to learn from, the others to see how the student stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import islice

import numpy as np

from ..records import Records
from ..spec import Array, Arrays, Signature
from . import augment

LOOK_EVERY, LOOKS = 4, 64
"""Every fourth sample, at most so many, is looked at and not learnt from."""

TOGETHER = 16
"""So many samples are changed together, out of each other's parts."""


class Lesson:
    """See the module.

    Args:
        augmented: whether samples are also shown changed (see augment).
        imagine: makes pictures of what the samples do not show (see imagined), when they are needed.

    Attributes:
        looks: the samples that are not learnt from, in memory.
        photos: the inputs that are photographs, which may be changed.
    """

    def __init__(
        self,
        calibration: Records,
        signature: Signature,
        augmented: bool = True,
        imagine: Callable[[Lesson], Sequence[Arrays]] = lambda lesson: (),
    ) -> None:
        looks = range(min(LOOK_EVERY, len(calibration)) - 1, len(calibration), LOOK_EVERY)[:LOOKS]
        rest = [index for index in range(len(calibration)) if index not in looks]
        self.looks: list[Arrays] = [calibration[index] for index in looks]
        self._calibration, self._signature = calibration, signature
        self._learnt = rest or list(looks)
        self._augmented, self._imagine = augmented, imagine
        self.photos = augment.layouts(signature.inputs) if augmented else {}

    @cached_property
    def trials(self) -> list[Arrays]:
        """What tells how much the model minds something: the looks; of photographs changed ones, as the looks may show the
        very things that those to learn from do.
        """
        if not self.photos:
            return self.looks
        rng, found = np.random.default_rng(len(self.looks)), list[Arrays]()
        while len(found) < LOOKS:
            drawn = rng.permutation(len(self.looks))[:TOGETHER]
            found += augment.batch([self.looks[index] for index in drawn], self._signature, self.photos, rng)
        return found[:LOOKS]

    def some(self, count: int) -> list[Arrays]:
        """At most so many of those to learn from, evenly; where there are photographs so many, changed ones among them.

        What a few photographs do not show must not seem to be nothing: late layers tell apart what may be on none of them.
        """
        if not self.photos:
            return self._own(count)
        found = list(self.many(count))
        order = np.random.default_rng(0).permutation(len(found))  # every n-th is to be of both kinds, too
        return [found[index] for index in order]

    def many(self, count: int) -> Iterator[Arrays]:
        """So many, those to learn from and, beyond them, changed ones."""
        own = self._own(count)
        yield from own
        yield from islice(self._changed(), count - len(own))

    def batch(self, count: int, number: int) -> list[dict[str, Array]]:
        """At most so many, drawn at random and changed, if they may be; the same for the same number."""
        rng = np.random.default_rng(number)
        drawn = rng.permutation(self._learnt)[:count]
        samples = [self._calibration[int(index)] for index in drawn]
        return augment.batch(samples, self._signature, self.photos, rng) if self._augmented else samples

    def _own(self, count: int) -> list[Arrays]:
        every = -(-len(self._learnt) // count)
        return [self._calibration[index] for index in self._learnt[::every]]

    @cached_property
    def _pictures(self) -> Sequence[Arrays]:
        return self._imagine(self)

    def _changed(self) -> Iterator[Arrays]:
        """Others than learning begins with."""
        yield from self._pictures
        for number in range(0xFFFF, 0, -1):
            yield from self.batch(TOGETHER, number)
