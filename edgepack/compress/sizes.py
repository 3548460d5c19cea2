"""What the artifact would be without compression, to hold the compressed one against."""

from __future__ import annotations

import zlib
from pathlib import Path

from ..events import step
from ..model import Model
from ..precision.plan import uniform_plan
from ..project import Project
from ..registry import TargetInfo
from ..samples import SampleSet
from ..spec import AUTO, Precision
from ..target import Artifact, Target


def plain(
    project: Project, info: TargetInfo, target: Target, model: Model, samples: SampleSet, workdir: Path
) -> dict[str, float]:
    """The bytes of the original's artifact of the same precision (int8 for ``auto``), and zipped; nothing where no compression is asked for."""
    if not project.compression.is_any:
        return {}
    folder = workdir / "plain"
    (folder / "artifact").mkdir(parents=True)
    with step("lower original"):
        lowering = target.lower(model, samples.calibration, folder)
        asked = project.build.precision
        plan = uniform_plan(lowering, Precision.INT8 if asked == AUTO else asked, info.io(project.build.io))
        artifact = lowering.emit(plan, folder / "artifact")
        return {"bytes before": artifact.bytes, "zipped before": zipped(artifact)}


def zipped(artifact: Artifact) -> int:
    """The bytes of its files, each deflated as in a .zip, an app or a gzip download."""
    return sum(len(zlib.compress((artifact.folder / name).read_bytes(), 9)) for name in artifact.files)
