"""The TensorFlow Lite target (see edgepack.target.Target)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

from edgepack.bundle.manifest import Manifest
from edgepack.model import Model
from edgepack.spec import Arrays
from edgepack.target import Artifact, Audit, File, Samples, Tool

from .._tf.model import Frozen
from . import audit, integration
from .convert import convert
from .lowering import TFLiteLowering
from .runtime import LiteRTRunner


class TFLite:
    name = "tflite"

    def tools(self) -> Sequence[Tool]:
        return ()

    def lower(self, model: Model, calibration: Samples, workdir: Path) -> TFLiteLowering:
        """Convert to a float .tflite. Raises ModelError."""
        return TFLiteLowering(convert(cast(Frozen, model.form("tf"))), model.signature, calibration)

    def open(self, artifact: Artifact) -> LiteRTRunner:
        return LiteRTRunner(artifact)

    def audit(self, artifact: Artifact) -> Audit:
        return audit.audit(artifact.main.read_bytes())

    def kit(self, manifest: Manifest, golden: Arrays) -> Iterable[File]:
        return integration.files(manifest, golden)


target = TFLite()
