"""A target whose artifact is made by another: a web page around a .tflite, say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .meter import Meter
from .model import Model
from .spec import Arrays
from .target import Artifact, Audit, File, Lowering, Runner, Samples, Target, Tool

if TYPE_CHECKING:
    from .bundle.manifest import Manifest


@dataclass(frozen=True)
class Paired:
    """A target whose artifact is another one's: a web page around a .tflite, say.

    Attributes:
        maker: lowers, looks into and runs the artifact.
        shell: writes the kit around it.
        shell_backends: what the shell's runtime computes with on a user's device.
    """

    maker: Target
    shell: Target
    shell_backends: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.shell.name

    @property
    def kit_folder(self) -> str:
        return self.shell.kit_folder

    @property
    def host_backends(self) -> tuple[str, ...]:
        return self.maker.host_backends

    def tools(self) -> Sequence[Tool]:
        return (*self.maker.tools(), *self.shell.tools())

    def lower(self, model: Model, calibration: Samples, workdir: Path) -> Lowering:
        return self.maker.lower(model, calibration, workdir)

    def open(self, artifact: Artifact, backend: str = "") -> Runner:
        return self.maker.open(artifact, backend)

    def meter(self, artifact: Artifact, backend: str = "", threads: int = 1) -> Meter:
        return self.maker.meter(artifact, backend, threads)

    def backends(self, runner: Runner, inputs: Arrays) -> Mapping[str, str]:
        return dict.fromkeys(self.shell_backends, "")

    def audit(self, artifact: Artifact) -> Audit:
        return self.maker.audit(artifact)

    def traced(self, artifact: Artifact, out: Path) -> Artifact:
        return self.maker.traced(artifact, out)

    def kit(self, manifest: Manifest, golden: Arrays) -> Iterable[File]:
        return self.shell.kit(manifest, golden)
