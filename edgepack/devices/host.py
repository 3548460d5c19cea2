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
        return target_of(bundle).host_backends or ("",)

    @contextmanager
    def open(self, bundle: Bundle, backend: str) -> Iterator[Player]:
        yield target_of(bundle).open(bundle.artifact, backend)


def target_of(bundle: Bundle) -> Target:
    """The target that runs a bundle on this machine. Raises MissingToolError when its extra is not installed."""
    return registry.load_target(registry.target(bundle.manifest.target, bundle.manifest.runtime))
