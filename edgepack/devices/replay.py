"""Replay a bundle's golden vectors on a device, and judge the answers here: nothing that the device thinks of them counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import parity
from ..bundle.manifest import Manifest
from ..bundle.reader import Bundle
from ..errors import GateError, ModelError
from ..events import step
from ..parity import MAX_DB, Metrics
from ..spec import Array, Arrays, format_shape
from . import gate, golden
from .device import Device, Player
from .golden import Golden


@dataclass(frozen=True)
class BackendResult:
    """What a device computed with one backend.

    Attributes:
        backend: empty where there is only one.
        samples: how many were compared.
        failures: the thresholds of the gate that are not met.
        error: why the bundle cannot run there; then nothing was compared.
        details: what the device itself said, when it could not.
    """

    backend: str
    samples: int = 0
    outputs: Mapping[str, Metrics] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    error: str = ""
    details: str = ""

    @property
    def passed(self) -> bool:
        return not (self.failures or self.error)


@dataclass(frozen=True)
class DeviceResult:
    device: str
    backends: tuple[BackendResult, ...]

    @property
    def passed(self) -> bool:
        """At least one backend ran, and none that ran missed the gate."""
        return any(each.passed for each in self.backends) and not any(each.failures for each in self.backends)


def replay(device: Device, bundle: Bundle) -> DeviceResult:
    """Every backend in turn. Runs in a process of its own.

    Raises:
        UsageError: the bundle is not for this device, or its golden vectors are not what its manifest says.
        MissingToolError: what the device or the runtime needs is missing; nothing is verified then.
    """
    vectors = golden.load(bundle)
    return DeviceResult(
        device.profile.name,
        tuple(_replay(device, bundle, backend, vectors) for backend in device.backends(bundle)),
    )


def _replay(device: Device, bundle: Bundle, backend: str, vectors: Golden) -> BackendResult:
    known = bundle.manifest.backends.get(backend, "")
    if known:  # the build found it out already
        return BackendResult(backend, error=known)
    samples = len(vectors.inputs)
    try:
        with (
            step(f"{device.profile.name} {backend}".rstrip()) as replaying,
            device.open(bundle, backend) as player,
        ):
            inputs = replaying.track(vectors.inputs, samples)
            outputs = parity.measure(_checked(player, bundle.manifest), inputs, vectors.outputs)
            replaying.detail = "; ".join(f"{name} {decibels(each)}" for name, each in outputs.items())
    except ModelError as error:
        return BackendResult(backend, error=error.message, details=error.details)
    except GateError as error:
        return BackendResult(backend, samples, failures=(error.message,))
    return BackendResult(backend, samples, outputs, gate.failures(bundle.manifest, outputs))


def decibels(metrics: Metrics) -> str:
    if metrics.sqnr_db >= MAX_DB:
        return "exact"
    return f"{metrics.sqnr_db:.1f} dB" if metrics.finite else "not finite"


def _checked(player: Player, manifest: Manifest) -> Player:
    """The player, refusing answers that cannot be compared."""

    def play(inputs: Arrays) -> dict[str, Array]:
        outputs = player(inputs)
        for entry in manifest.outputs:
            if entry.name not in outputs:
                raise GateError(f"there is no output '{entry.name}'")
            if outputs[entry.name].shape != entry.shape:
                shape = format_shape(outputs[entry.name].shape)
                raise GateError(f"{entry.name} has the shape {shape}, not {format_shape(entry.shape)}")
        return outputs

    return play
