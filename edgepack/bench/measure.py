"""Measure bundles in turns, each in a process of its own, so that what drifts, drifts for all.

The processes are started one after the other, and asked one after the other, never two at once; the order is shuffled
anew for every round, always alike.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from .. import registry, worker
from ..bundle.manifest import Manifest
from ..bundle.reader import Bundle
from ..devices import golden
from ..errors import EdgepackError, ModelError
from ..events import Listener, listening, step
from ..target import Target
from ..worker import Held
from .lineup import Entrant, named

SEED = 0
STARTS = 3
"""How often each bundle is loaded, in a fresh process each time, if that is quick."""

START_SECONDS = 4.0
"""For all starts of a bundle together, after which no further one is begun."""

ROUND_SECONDS = 5.0
"""For all rounds of a bundle together."""

MIN_ROUNDS, MAX_ROUNDS = 3, 50
TURN_SECONDS, MAX_CALLS = 0.05, 100
TURN_OVERHEAD = 0.002
"""Seconds of asking, whatever is asked."""

SETTLE_SECONDS = 0.4
"""Of calls between the first and the first that counts: a runtime that compiles while it runs is not warm at once."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Start:
    """Seconds that a fresh process took to load the artifact, and for the first call."""

    load: float
    first: float


@dataclass(frozen=True)
class Cost:
    """What one bundle costs.

    Attributes:
        runtime: what computed.
        threads: with how many.
        starts: one for every process that was started.
        rounds: the seconds of every counted call, round by round.
        memory_bytes: how far the resident memory of the computing process rose above what it was before the artifact was
            loaded, at its highest, over the load and all calls; None where the system does not tell.
        ops_by_precision: as the artifact really holds them.
    """

    runtime: str
    threads: int
    starts: tuple[Start, ...]
    rounds: tuple[tuple[float, ...], ...]
    memory_bytes: int | None
    ops_by_precision: Mapping[str, int]


@dataclass(frozen=True)
class Turn:
    """What a bundle does when it is asked.

    Attributes:
        calls: counted.
        uncounted: before them, to bring the artifact back into the processor's caches.
        call: about the seconds of one.
    """

    calls: int
    uncounted: int
    call: float = 0.0

    @property
    def seconds(self) -> float:
        return self.call * (self.calls + self.uncounted) + TURN_OVERHEAD


class Loaded:
    """A bundle loaded in this process, which does nothing else.

    Raises:
        MissingToolError: its runtime is not installed.
        ModelError: its runtime cannot load or run it.
        UsageError: its golden vectors are not what its manifest says.
    """

    def __init__(self, bundle: Bundle, threads: int) -> None:
        self._bundle = bundle
        self._inputs = cycle(golden.load(self._bundle).inputs)
        manifest = self._bundle.manifest
        info = registry.target(manifest.target, manifest.runtime)
        self._target = registry.load_target(info)
        with registry.needing(info.extra, f"The runtime of '{info.label}'"):
            self._meter = self._target.meter(self._bundle.artifact, _backend(self._target, manifest), threads)
        (first,) = self._meter.time(next(self._inputs), 1)
        self._start = Start(self._meter.load_seconds, first)

    def start(self) -> Start:
        return self._start

    def turn(self, turn: Turn) -> tuple[float, ...]:
        """Seconds of the counted calls, on the next of the golden samples."""
        return tuple(self._meter.time(next(self._inputs), turn.uncounted + turn.calls)[turn.uncounted :])

    def cost(self, starts: tuple[Start, ...], rounds: tuple[tuple[float, ...], ...]) -> Cost:
        meter = self._meter
        memory = meter.memory.bytes  # before the audit takes some
        ops = self._target.audit(self._bundle.artifact).ops_by_precision
        return Cost(meter.runtime, meter.threads, starts, rounds, memory, ops)


def measure(
    entrants: Sequence[Entrant], threads: int, rounds: int | None, listener: Listener, debug: bool = False
) -> tuple[Cost, ...]:
    """The cost of each.

    Args:
        rounds: how often each is asked; None for as many as fit ROUND_SECONDS, within MIN_ROUNDS and MAX_ROUNDS.

    Raises:
        EdgepackError: one cannot be measured; names it.
    """
    with listening(listener), closing(_Race(entrants, threads, listener, debug)) as race:
        with step("load") as loading:
            starts = race.start()
            loading.detail = f"{len(starts[0])} x {len(entrants)} fresh processes"
        with step("measure") as measuring:
            turns = [race.plan(place, starts[place][-1]) for place in range(len(entrants))]
            count = rounds or rounds_for(turns)
            found: list[list[tuple[float, ...]]] = [[] for _ in entrants]
            for _ in measuring.track(range(count), count):
                for place in race.order():
                    found[place].append(race.ask(place, Loaded.turn, turns[place]))
            measuring.detail = f"{count} rounds"
        return tuple(
            race.ask(place, Loaded.cost, starts[place], tuple(found[place])) for place in range(len(entrants))
        )


class _Race:
    """A process for each entrant, until it is closed."""

    def __init__(self, entrants: Sequence[Entrant], threads: int, listener: Listener, debug: bool) -> None:
        self._entrants, self._threads, self._listener, self._debug = entrants, threads, listener, debug
        self._shuffle = random.Random(SEED)
        self._stack = ExitStack()
        folder = tempfile.TemporaryDirectory(prefix="edgepack-", ignore_cleanup_errors=True)
        self._scratch = Path(self._stack.enter_context(folder))
        self._slots = [self._stack.enter_context(ExitStack()) for _ in entrants]
        self._held: dict[int, Held[Loaded]] = {}

    def close(self) -> None:
        self._stack.close()

    def order(self) -> list[int]:
        """Whose turn it is, one after the other, in a round."""
        places = list(range(len(self._entrants)))
        self._shuffle.shuffle(places)
        return places

    def start(self) -> list[tuple[Start, ...]]:
        """Start all, again and again while that is quick."""
        begun = time.monotonic()
        starts: list[list[Start]] = [[] for _ in self._entrants]
        for number in range(STARTS):
            so_far = time.monotonic() - begun
            if number and so_far * (number + 1) / number > START_SECONDS * len(self._entrants):
                break
            for place in self.order():
                starts[place].append(self._start(place))
        return [tuple(each) for each in starts]

    def _start(self, place: int) -> Start:
        self._slots[place].close()
        # OMP_NUM_THREADS is for libraries below a runtime: they read it when they are imported
        env = {"TMPDIR": str(self._scratch), "OMP_NUM_THREADS": str(self._threads)}
        process = worker.hold(
            Loaded,
            self._entrants[place].bundle,
            self._threads,
            env=env,
            listener=self._listener,
            scratch=(self._scratch,),
            debug=self._debug,
        )
        with self._naming(place):
            self._held[place] = self._slots[place].enter_context(process)
        return self.ask(place, Loaded.start)

    def plan(self, place: int, start: Start) -> Turn:
        """What the entrant does in a round: as many calls as fit its time, the first of them to warm up."""
        call, settling = start.first, time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < settling:
            call = min(
                self.ask(place, Loaded.turn, Turn(max(1, min(MAX_CALLS, int(TURN_SECONDS / call))), 0))
            )
        calls = max(1, min(MAX_CALLS, int(TURN_SECONDS / call)))
        return Turn(calls, 0 if call > TURN_SECONDS else 1 + calls // 10, call)

    def ask(
        self, place: int, method: Callable[Concatenate[Loaded, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with self._naming(place):
            return self._held[place].ask(method, *args, **kwargs)

    @contextmanager
    def _naming(self, place: int) -> Iterator[None]:
        try:
            yield
        except EdgepackError as error:
            raise named(error, self._entrants[place].label) from error


def rounds_for(turns: Sequence[Turn]) -> int:
    """As many as fit the time of all bundles together, within bounds."""
    whole = sum(turn.seconds for turn in turns)
    return max(MIN_ROUNDS, min(MAX_ROUNDS, int(ROUND_SECONDS * len(turns) / whole)))


def _backend(target: Target, manifest: Manifest) -> str:
    """The best one that the build did not find wanting; empty where there is no choice. Raises ModelError."""
    for backend in target.host_backends or ("",):
        wanting = manifest.backends.get(backend, "")
        if not wanting:
            return backend
    raise ModelError(
        f"No backend of this machine can run it: {wanting}", "Build it again, or measure another."
    )
