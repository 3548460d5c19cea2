"""The protocol of a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from ..bundle.reader import Bundle
from ..spec import Array, Arrays
from ..target import Tool
from .profiles import Profile

Player = Callable[[Arrays], dict[str, Array]]
"""A bundle loaded on a device; the call shape of a Model."""


@runtime_checkable
class Telling(Protocol):
    """A player that tells more of a run than its answers."""

    @property
    def facts(self) -> Mapping[str, str]: ...


class Device(Protocol):
    """Something that runs bundles. Can be pickled: it works in a process of its own."""

    @property
    def profile(self) -> Profile: ...

    def tools(self) -> Sequence[Tool]:
        """What it needs, whatever the bundle."""
        ...

    def backends(self, bundle: Bundle) -> tuple[str, ...]:
        """What the bundle can be asked to compute with here; one empty name where there is no choice.

        Raises:
            UsageError: the bundle is not for this kind of device.
            MissingToolError: what edgepack installs for bundles of its target is not installed.
        """
        ...

    def open(self, bundle: Bundle, backend: str) -> AbstractContextManager[Player]:
        """Load the bundle for as long as the context lasts.

        Raises:
            MissingToolError: a tool is missing.
            ModelError: the device cannot load the bundle on this backend; or, when it is called, cannot run it.
            GateError: what it gave, when called, is no answer.
        """
        ...
