"""This machine as a device: the target's own runtime, as the build used it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from .. import registry
from ..bundle.reader import Bundle
from ..target import Target, Tool
from .device import Player
from .profiles import Profile


@dataclass(frozen=True)
class Host:
    """See edgepack.devices.device.Device."""

    profile: Profile

    def tools(self) -> Sequence[Tool]:
        """None of its own; a target names what its runtime needs."""
        return ()

    def backends(self, bundle: Bundle) -> tuple[str, ...]:
        return _target(bundle).host_backends or ("",)

    @contextmanager
    def open(self, bundle: Bundle, backend: str) -> Iterator[Player]:
        yield _target(bundle).open(bundle.artifact, backend)


def _target(bundle: Bundle) -> Target:
    return registry.load_target(registry.target(bundle.manifest.target, bundle.manifest.runtime))
