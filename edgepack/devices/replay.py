"""Replay a bundle's golden vectors on a device, and judge the answers here: nothing that the device thinks of them counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from .. import parity
from ..bundle.manifest import Manifest
from ..bundle.reader import Bundle
from ..errors import GateError, ModelError
from ..events import Step, step
from ..parity import MAX_DB, Metrics
from ..registry import DriverInfo
from ..spec import Array, Arrays, format_shape
from . import gate, golden, twin
from .device import Device, Player, Telling
from .golden import Golden
from .host import target_of
from .trace import Trace, trace
from .twin import Beside


@dataclass(frozen=True)
class BackendResult:
    """What a device computed with one backend.

    Attributes:
        backend: empty where there is only one.
        samples: how many were compared.
        beside: each output beside that of this machine's kernels of the same family; empty where it has none.
        failures: the thresholds of the gate that are not met, and what is not as this machine's kernels have it.
        error: why the bundle cannot run there; then nothing was compared.
        hint: what to do about that.
        details: what the device itself said, when it could not.
        facts: what it tells of a run besides answers: working memory, say.
        trace: where the runtimes part, if that was asked for.
    """

    backend: str
    samples: int = 0
    outputs: Mapping[str, Metrics] = field(default_factory=dict)
    beside: Mapping[str, Beside] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""
    details: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    trace: Trace | None = None

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


def replay(device: Device, bundle: Bundle, traced: bool = False) -> DeviceResult:
    """Every backend in turn. Runs in a process of its own.

    Args:
        traced: where a backend fails, look for the first layer that differs.

    Raises:
        UsageError: the bundle is not for this device, or its golden vectors are not what its manifest says.
        MissingToolError: what the device or the runtime needs is missing; nothing is verified then.
    """
    return DeviceResult(device.profile.name, tuple(_Replay(device, bundle, traced).backends()))


@dataclass(frozen=True)
class _Replay:
    device: Device
    bundle: Bundle
    traced: bool

    def backends(self) -> Iterator[BackendResult]:
        vectors, driver = golden.load(self.bundle), twin.driver(self.device.profile, self.bundle.manifest)

        @cache  # several backends of a browser have one twin
        def here(backend: str) -> list[Arrays]:
            runner = target_of(self.bundle).open(self.bundle.artifact, backend)
            return [runner(inputs) for inputs in vectors.inputs]

        for backend in self.device.backends(self.bundle):
            known = self.bundle.manifest.backends.get(backend, "")
            if known:  # the build found it out already
                yield BackendResult(backend, error=known)
                continue
            result, answers = self._on(backend, vectors)
            if answers and driver is not None and driver.twin is not None:
                try:
                    result = self._beside(result, answers, here(driver.twin), driver)
                except ModelError as error:  # the original alone has to do then
                    told = {**result.facts, "beside this machine's kernels": f"not compared. {error.message}"}
                    result = replace(result, facts=told)
            yield self._traced(result, vectors) if self.traced and result.failures else result

    def _on(self, backend: str, vectors: Golden) -> tuple[BackendResult, list[Arrays]]:
        """The answers of one backend, and how they meet the gate."""
        samples = len(vectors.inputs)
        try:
            with (
                step(f"{self.device.profile.name} {backend}".rstrip()) as replaying,
                self.device.open(self.bundle, backend) as player,
            ):
                answers = self._answers(player, vectors, replaying)
                outputs = parity.compare(answers, vectors.outputs)
                replaying.detail = "; ".join(f"{name} {decibels(each)}" for name, each in outputs.items())
                facts: dict[str, str] = dict(player.facts) if isinstance(player, Telling) else {}
        except ModelError as error:
            return BackendResult(backend, error=error.message, hint=error.hint, details=error.details), []
        except GateError as error:
            return BackendResult(backend, samples, failures=(error.message,)), []
        failures = gate.failures(self.bundle.manifest, outputs)
        return BackendResult(backend, samples, outputs, failures=failures, facts=facts), answers

    def _answers(self, player: Player, vectors: Golden, replaying: Step) -> list[Arrays]:
        play = _checked(player, self.bundle.manifest)
        return [play(inputs) for inputs in replaying.track(vectors.inputs, len(vectors.inputs))]

    def _beside(
        self, result: BackendResult, answers: list[Arrays], expected: list[Arrays], driver: DriverInfo
    ) -> BackendResult:
        within = twin.bounds(target_of(self.bundle).audit(self.bundle.artifact), driver.loose)
        outputs = {entry.name: within[entry.name] for entry in self.bundle.manifest.outputs}
        beside = twin.compare(answers, expected, outputs)
        differing = tuple(str(each) for each in beside.values() if not each.passed)
        return replace(result, beside=beside, failures=(*result.failures, *differing))

    def _traced(self, result: BackendResult, vectors: Golden) -> BackendResult:
        """Look at the sample that showed a difference first; at the first one where the gate alone is missed."""
        number = min((each.sample for each in result.beside.values() if not each.passed), default=0)
        found = trace(self.device, self.bundle, result.backend, vectors.inputs[number], vectors.inputs[0])
        return replace(result, trace=found)


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
