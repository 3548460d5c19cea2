"""Progress as events. Stages report; whoever listens (the worker's pipe, the console, a test) decides what to show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class StepStarted:
    name: str


@dataclass(frozen=True)
class StepAdvanced:
    name: str
    done: int
    total: int | None
    text: str = ""


@dataclass(frozen=True)
class StepEnded:
    name: str
    seconds: float
    ok: bool
    detail: str = ""


@dataclass(frozen=True)
class Warned:
    text: str


Event = StepStarted | StepAdvanced | StepEnded | Warned
Listener = Callable[[Event], None]

_listener: ContextVar[Listener] = ContextVar("listener", default=lambda event: None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send the events of this context to ``listener``."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


class Step:
    """A step under way; set ``detail`` to a few words that its closing line shows."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.detail = ""

    def track(self, items: Iterable[T], total: int | None = None) -> Iterator[T]:
        """The items, with progress reported at most ten times a second."""
        last = 0.0
        for done, item in enumerate(items):
            if time.monotonic() - last >= 0.1:
                last = time.monotonic()
                _listener.get()(StepAdvanced(self.name, done, total))
            yield item

    def tell(self, text: str, done: int, total: int | None = None) -> None:
        """Report how it stands, in words too."""
        _listener.get()(StepAdvanced(self.name, done, total, text))


@contextmanager
def step(name: str) -> Iterator[Step]:
    """Report a stage: its start, and its duration and success at the end."""
    current, start = Step(name), time.monotonic()
    _listener.get()(StepStarted(name))
    ok = False
    try:
        yield current
        ok = True
    finally:
        _listener.get()(StepEnded(name, time.monotonic() - start, ok, current.detail))


def tell(event: Event) -> None:
    """Pass on what happened in another process."""
    _listener.get()(event)


def warn(text: str) -> None:
    """Tell the user something that does not stop the build, but that they should not miss."""
    _listener.get()(Warned(text))


@contextmanager
def inside(outer: Step) -> Iterator[None]:
    """Steps in here are no lines of their own but the words of another one under way; their warnings are not passed on."""

    def tell(event: Event) -> None:
        if isinstance(event, StepStarted):
            listener(StepAdvanced(outer.name, 0, None, event.name))
        elif isinstance(event, StepAdvanced):
            listener(StepAdvanced(outer.name, event.done, event.total, f"{event.name} {event.text}".rstrip()))

    listener = _listener.get()
    with listening(tell):
        yield
