"""The TensorFlow Lite target (see edgepack.target.Target).

What only conversion needs, TensorFlow above all, is imported when it converts: to look into a bundle or to run it, LiteRT
is enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edgepack.bundle.manifest import Manifest
from edgepack.model import Model
from edgepack.spec import Arrays
from edgepack.target import Artifact, Audit, File, Runner, Samples, Tool

from . import audit, integration

if TYPE_CHECKING:
    from .._tf.model import Frozen
    from .lowering import TFLiteLowering
    from .runtime import LiteRTRunner


class TFLite:
    name = "tflite"
    kit_folder = "kit"
    host_backends = ()

    def tools(self) -> Sequence[Tool]:
        """None: all it needs comes with pip."""
        return ()

    def lower(self, model: Model, calibration: Samples, workdir: Path) -> TFLiteLowering:
        """Convert to a float .tflite. Raises ModelError."""
        from .convert import convert
        from .lowering import TFLiteLowering

        frozen = cast("Frozen", model.form("tf"))
        return TFLiteLowering(convert(frozen), model.signature, calibration)

    def open(self, artifact: Artifact, backend: str = "") -> LiteRTRunner:
        """Load into LiteRT on this machine. Raises ModelError."""
        from .runtime import LiteRTRunner

        return LiteRTRunner(artifact)

    def backends(self, runner: Runner, inputs: Arrays) -> Mapping[str, str]:
        """Nothing to tell: an app chooses no backend."""
        return {}

    def audit(self, artifact: Artifact) -> Audit:
        """Read what is in the file. Raises UsageError."""
        return audit.audit(artifact.main.read_bytes())

    def kit(self, manifest: Manifest, golden: Arrays) -> Iterable[File]:
        """See integration.files."""
        return integration.files(manifest, golden)


target = TFLite()
