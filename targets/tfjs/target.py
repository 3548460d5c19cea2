"""The TensorFlow.js target (see edgepack.target.Target). TensorFlow is imported when it converts, not before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edgepack.bundle.manifest import Manifest
from edgepack.model import Model
from edgepack.spec import Arrays
from edgepack.target import Artifact, Audit, File, Runner, Samples, Tool

from . import audit, integration, traced
from .node import Node, Npm
from .runner import NodeRunner

if TYPE_CHECKING:
    from .._tf.frozen import Frozen
    from .lower import TFJSLowering


class TFJS:
    name = "tfjs"
    kit_folder = ""
    host_backends = ("wasm", "cpu")

    def tools(self) -> Sequence[Tool]:
        """Node runs the parity check, npm brings TensorFlow.js itself."""
        return Node(), Npm()

    def lower(self, model: Model, calibration: Samples, workdir: Path) -> TFJSLowering:
        """Convert to a graph model. Raises ModelError that names an op TensorFlow.js lacks."""
        from .lower import lower

        return lower(cast("Frozen", model.form("tf")))

    def open(self, artifact: Artifact, backend: str = "") -> NodeRunner:
        """Load into TensorFlow.js in Node, on WebAssembly unless told otherwise. Raises ModelError, MissingToolError."""
        return NodeRunner(artifact, backend or self.host_backends[0])

    def meter(self, artifact: Artifact, backend: str = "", threads: int = 1) -> NodeRunner:
        """Load into TensorFlow.js in Node, which computes with one thread. Raises ModelError, MissingToolError."""
        return self.open(artifact, backend)

    def backends(self, runner: Runner, inputs: Arrays) -> Mapping[str, str]:
        """Every backend of a page, and the kernels that the model needs but it has not."""
        return cast(NodeRunner, runner).backends(inputs)

    def audit(self, artifact: Artifact) -> Audit:
        """Read what is in the files. Raises UsageError."""
        return audit.audit(artifact.main)

    def traced(self, artifact: Artifact, out: Path) -> Artifact:
        """See traced.with_layers."""
        return traced.with_layers(artifact, out)

    def kit(self, manifest: Manifest, golden: Arrays) -> Iterable[File]:
        """See integration.files."""
        return integration.files(manifest, golden)


target = TFJS()
