"""The TorchScript mobile target (see edgepack.target.Target). PyTorch is imported when it is needed, not before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edgepack.bundle.manifest import Manifest
from edgepack.errors import ModelError
from edgepack.model import Model
from edgepack.spec import Arrays
from edgepack.target import Artifact, Audit, File, Lowering, Runner, Samples, Tool

from . import integration

if TYPE_CHECKING:
    from .._torch.model import Program
    from .runtime import LiteRunner


class TorchScript:
    name = "torchscript"
    kit_folder = "kit"
    host_backends = ()

    def tools(self) -> Sequence[Tool]:
        """None: all it needs comes with pip."""
        return ()

    def lower(self, model: Model, calibration: Samples, workdir: Path) -> Lowering:
        """The model as a graph of its ops, in float. Raises ModelError."""
        from .lowering import lower

        return lower(cast("Program", model.form("torch")), calibration)

    def open(self, artifact: Artifact, backend: str = "") -> LiteRunner:
        """Load into the lite interpreter on this machine. Raises ModelError."""
        from .runtime import LiteRunner

        return LiteRunner(artifact)

    def backends(self, runner: Runner, inputs: Arrays) -> Mapping[str, str]:
        """Nothing to tell: an app chooses no backend."""
        return {}

    def audit(self, artifact: Artifact) -> Audit:
        """Read what is in the file. Raises UsageError."""
        from . import audit

        return audit.audit(artifact.main.read_bytes())

    def traced(self, artifact: Artifact, out: Path) -> Artifact:
        """Not offered: the lite interpreter gives what the file's own code returns. Raises ModelError."""
        raise ModelError(
            "PyTorch's lite interpreter gives no layers there.", "The report compares them on this machine."
        )

    def kit(self, manifest: Manifest, golden: Arrays) -> Iterable[File]:
        """See integration.files."""
        return integration.files(manifest, golden)


target = TorchScript()
