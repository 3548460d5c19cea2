"""What the report tells of a judged artifact: sizes, layers, values and pictures."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..project import Project
from ..spec import Array
from .manifest import Manifest
from .ranked import LayerError
from .report import Picture, Prediction, Report, Scatter

if TYPE_CHECKING:
    from ..judge import Judged, Reference

SCATTER_SAMPLES = 32
SCATTER_POINTS = 2000
PICTURES = 6
TOP = 3


def gather(
    project: Project, manifest: Manifest, reference: Reference, judged: Judged, layers: tuple[LayerError, ...]
) -> Report:
    """All that the report tells; asks the artifact again for what it draws."""
    return Report(
        manifest=manifest,
        audit=judged.audit,
        sizes=_sizes(project, judged),
        layers=layers,
        scatters=_scatters(reference, judged),
        pictures=_pictures(manifest, reference, judged),
    )


def _sizes(project: Project, judged: Judged) -> tuple[tuple[str, int], ...]:
    source = Path(project.model.source)
    sizes = []
    if source.exists():
        files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
        sizes.append((source.name, sum(path.stat().st_size for path in files)))
    if judged.artifact is not judged.float32:
        sizes.append((f"float32 {judged.float32.main.name}", judged.float32.bytes))
    sizes.append((f"this bundle's {judged.artifact.main.name}", judged.artifact.bytes))
    return tuple(sizes)


def _scatters(reference: Reference, judged: Judged) -> tuple[Scatter, ...]:
    """For every output, values of the original beside the artifact's, thinned evenly by rank: the greatest are among them."""
    found: dict[str, tuple[list[Array], list[Array]]] = {}
    pairs = zip(reference.samples.held_back, reference.golden, strict=True)
    for inputs, golden in islice(pairs, SCATTER_SAMPLES):
        outputs = judged.runner(inputs)
        for name, original in golden.items():
            per_sample = max(1, SCATTER_POINTS // min(SCATTER_SAMPLES, len(reference.golden)))
            ranks = np.linspace(0, original.size - 1, min(original.size, per_sample)).astype(np.int64)
            picked = np.argsort(original, axis=None, kind="stable")[ranks]
            originals, artifacts = found.setdefault(name, ([], []))
            originals.append(original.ravel()[picked])
            artifacts.append(outputs[name].ravel()[picked])
    return tuple(Scatter(name, np.concatenate(x), np.concatenate(y)) for name, (x, y) in found.items())


def _pictures(manifest: Manifest, reference: Reference, judged: Judged) -> tuple[Picture, ...]:
    """The first held-back samples as pictures, where one input is an image, with both predictions."""
    inputs = [entry for entry in manifest.inputs if len(entry.shape) == 4 and entry.shape[-1] in (1, 3)]
    if not inputs:
        return ()
    ranked = [entry.name for entry in manifest.outputs if len(entry.shape) == 2 and entry.shape[-1] > 1]
    pictures = []
    for arrays, golden in islice(zip(reference.samples.held_back, reference.golden, strict=True), PICTURES):
        pixels = _pixels(arrays[inputs[0].name][0], raw=inputs[0].image is not None)
        outputs = judged.runner(arrays)
        original, artifact = (
            _predictions(values[ranked[0]], manifest.labels) if ranked else () for values in (golden, outputs)
        )
        pictures.append(Picture(pixels, original, artifact))
    return tuple(pictures)


def _pixels(image: Array, raw: bool) -> Array:
    if not raw:  # whatever range the model wants, stretched to what can be seen
        low, high = float(image.min()), float(image.max())
        image = (image - low) * (255 / (high - low) if high > low else 0.0)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _predictions(scores: Array, labels: tuple[str, ...]) -> tuple[Prediction, ...]:
    scores = scores[0]
    best = np.argsort(-scores, kind="stable")[:TOP]
    named = len(labels) == len(scores)
    return tuple(Prediction(labels[i] if named else f"class {i}", float(scores[i])) for i in best)
