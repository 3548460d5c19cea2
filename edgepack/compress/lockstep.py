"""Computations that wait for each other at every layer, so that one run of all samples serves all layers.

A layer's moments need what all samples feed it, and the next layer's what they feed it once this one is changed. Run anew
for each, a model of n layers computes n times; stopped at each and then let go on, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Semaphore, Thread

from ..errors import ModelError
from ..spec import Array, Arrays
from .recover import Moments, Sums

MEMORY = 2 << 30
"""Bytes that computations which wait may hold."""

BESIDE = 2
"""What waits holds so much in all for each byte that the largest input of a layer has: skip connections, the other branch."""

RUNS = 64
"""Computations, of the student and of the teacher each, that wait at once."""

Fed = Callable[[], Array]
"""What a layer is fed with, [places, in]; made when it is asked for, as unfolding a convolution's input makes it larger."""

Stop = Callable[[str, Fed], None]


class Left(BaseException):
    """Out of a computation that is not wanted any more. No Exception: a model may catch these."""


class Halting:
    """A computation in a thread of its own that waits whenever it calls the ``Stop`` that it is given."""

    def __init__(self, compute: Callable[[Stop], object]) -> None:
        self._go, self._there = Semaphore(0), Semaphore(0)
        self._at: tuple[str, Fed] | None = None
        self._error: BaseException | None = None
        self._is_left = False
        self._thread = Thread(target=self._run, args=(compute,), daemon=True)
        self._thread.start()

    def to(self, name: str) -> Fed:
        """Compute until the stop at this layer. Raises ModelError where it is not the next, and what the computation raises."""
        self._go.release()
        self._there.acquire()
        if self._error is not None:
            raise self._error
        if self._at is None or self._at[0] != name:
            raise ModelError(
                f"The layer '{name}' does not compute at the same point with every sample.",
                f"Leave it as it is: --keep-layer {name}.",
            )
        return self._at[1]

    def leave(self) -> None:
        """Compute no further; what it holds is free again."""
        self._is_left = True
        self._go.release()
        self._thread.join()
        self._at = None

    def _run(self, compute: Callable[[Stop], object]) -> None:
        self._go.acquire()
        try:
            if not self._is_left:
                compute(self._stop)
        except Left:
            pass
        except BaseException as error:
            self._error = error
        self._there.release()

    def _stop(self, name: str, fed: Fed) -> None:
        self._at = name, fed
        self._there.release()
        self._go.acquire()
        self._at = None
        if self._is_left:
            raise Left


Pair = tuple[Halting, Halting]
"""Of the student and of the teacher, with the same samples."""


def walk(
    names: Sequence[str],
    samples: Sequence[Arrays],
    begin: Callable[[Sequence[str], Sequence[Arrays]], Sequence[Pair]],
    anew: Callable[[str], Moments],
    input_bytes: Mapping[str, Sequence[int]],
    together: int,
    as_teacher: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[tuple[str, Moments]]:
    """The moments of layers in the order in which they compute; one may be changed before the next is asked for.

    Args:
        begin: computations that stop at layers, with samples.
        anew: the moments of a layer that computes several times for a sample: one stop does not show all that it is fed with.
        input_bytes: of what a sample feeds each layer, call by call.
        together: how many samples one computation takes.
        as_teacher: what the teacher computes in.
    """
    once = [name for name in names if len(input_bytes[name]) == 1]
    pairs = begin(once, _fitting(samples, max(map(max, input_bytes.values())), together))
    try:
        for name in names:
            if name not in once:
                yield name, anew(name)
                continue
            with as_teacher():
                taught = [teacher.to(name) for _, teacher in pairs]
            own = [student.to(name) for student, _ in pairs]
            sums = Sums()
            for each, other in zip(own, taught, strict=True):
                sums.add(each(), other())
            yield name, sums.moments()
    finally:
        for pair in pairs:
            for computation in pair:
                computation.leave()


def _fitting(samples: Sequence[Arrays], largest: int, together: int) -> Sequence[Arrays]:
    """As many samples, evenly, as may wait at once.

    Args:
        largest: bytes of a layer's input from one sample.
    """
    count = min(RUNS * together, max(1, MEMORY // (2 * BESIDE * max(1, largest))))
    return samples[:: -(-len(samples) // count)]
