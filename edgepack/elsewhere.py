"""The original's own framework, where the target's is another: it alone sees the layers, in a process of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from . import frameworks, sources, worker
from .compress.sizes import LayerSize, layer_sizes
from .compress.stage import Compressed, check, compress
from .compress.wanted import Wanted
from .events import tell
from .model import Model, Origin
from .project import Project
from .records import Records
from .registry import TargetInfo
from .samples import SampleSet

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True)
class Elsewhere:
    """What is asked of it; see edgepack.workbench.Workbench.

    Attributes:
        origin: the original, as that framework loads it.
    """

    project: Project
    info: TargetInfo
    samples: SampleSet
    golden: Records
    origin: Origin
    workdir: Path

    def smaller(self, wanted: Wanted) -> Compressed:
        """The original made smaller there, and loaded here: it gets the same weights for every target."""
        folder = Path(tempfile.mkdtemp(prefix="smaller-", dir=self.workdir))
        made = _there(_smaller, self, wanted, folder)
        return Compressed(sources.load(self.project, self.info, made.origin), *made.told)

    def sizes(self) -> tuple[LayerSize, ...]:
        """Of the original's layers. Raises ModelError where it has none."""
        return _there(_sizes, self)

    def load(self) -> Model:
        """The original; to be called there."""
        return sources.load(self.project, replace(self.info, forms=(self.origin.form,)), self.origin)


@dataclass(frozen=True)
class _Smaller:
    """What crosses over.

    Attributes:
        told: all of compress.stage.Compressed but the model.
    """

    origin: Origin
    told: tuple[dict[str, float], tuple[LayerSize, ...], tuple[LayerSize, ...], float]


def _there(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return worker.run(function, *args, env=frameworks.environment(), listener=tell)


def _smaller(there: Elsewhere, wanted: Wanted, folder: Path) -> _Smaller:
    """``folder`` takes what another framework loads."""
    made = compress(wanted, there.load(), there.samples, there.golden)
    told = (made.found, made.before, made.after, made.seconds)
    return _Smaller(sources.handed_over(made.model, there.origin, folder), told)


def _sizes(there: Elsewhere) -> tuple[LayerSize, ...]:
    teacher = check(there.project.compression, there.load(), there.samples, there.golden)
    return layer_sizes(teacher.student())
