"""The TensorFlow Lite target (see edgepack.target.Target).

What only conversion needs, TensorFlow or PyTorch, is imported when it converts: to look into a bundle or to run it, LiteRT
is enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edgepack.bundle.manifest import Manifest
from edgepack.errors import MissingToolError
from edgepack.layout import turned_inputs
from edgepack.model import Model
from edgepack.spec import Arrays
from edgepack.target import Artifact, Audit, File, Runner, Samples, Tool

from . import audit, integration

if TYPE_CHECKING:
    from .._tf.frozen import Frozen
    from .._torch.model import Program
    from .lowering import TFLiteLowering
    from .runtime import LiteRTMeter, LiteRTRunner


class TFLite:
    name = "tflite"
    kit_folder = "kit"
    host_backends = ()

    def tools(self) -> Sequence[Tool]:
        """None: all it needs comes with pip."""
        return ()

    def lower(self, model: Model, calibration: Samples, workdir: Path) -> TFLiteLowering:
        """Convert to a float .tflite. Raises ModelError."""
        from .biases import with_biases
        from .lowering import TFLiteLowering

        data = _from_torch(model) if "tf" not in model.forms else _from_tensorflow(model)
        return TFLiteLowering(with_biases(data), model.signature, calibration)

    def open(self, artifact: Artifact, backend: str = "") -> LiteRTRunner:
        """Load into LiteRT on this machine; the backend ``reference`` has its plain kernels. Raises ModelError."""
        from .runtime import LiteRTRunner

        return LiteRTRunner(artifact, backend)

    def meter(self, artifact: Artifact, backend: str = "", threads: int = 1) -> LiteRTMeter:
        """Load into LiteRT to be measured. Raises ModelError."""
        from .runtime import LiteRTMeter

        return LiteRTMeter(artifact, threads)

    def backends(self, runner: Runner, inputs: Arrays) -> Mapping[str, str]:
        """Nothing to tell: an app chooses no backend."""
        return {}

    def audit(self, artifact: Artifact) -> Audit:
        """Read what is in the file. Raises UsageError."""
        return audit.audit(artifact.main.read_bytes())

    def traced(self, artifact: Artifact, out: Path) -> Artifact:
        """See traced.with_layers."""
        from .traced import with_layers

        (out / artifact.files[0]).write_bytes(with_layers(artifact.main.read_bytes()))
        return Artifact(out, artifact.files)

    def kit(self, manifest: Manifest, golden: Arrays) -> Iterable[File]:
        """See integration.files."""
        return integration.files(manifest, golden)


def _from_tensorflow(model: Model) -> bytes:
    from .convert import convert

    return convert(cast("Frozen", model.form("tf")))


def _from_torch(model: Model) -> bytes:
    try:
        from .torch_convert import convert
    except ModuleNotFoundError as error:
        raise MissingToolError(
            f"A PyTorch model needs the Python package '{error.name}', which is not installed.",
            "pip install 'edgepack[torch]'",
        ) from error
    return convert(cast("Program", model.form("torch")), turned_inputs(model))


target = TFLite()
