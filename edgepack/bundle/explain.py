"""Where the error of an artifact enters and grows, layer by layer; of the few that matter most, why, and what was done."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from ..parity import MAX_DB
from ..precision import causes
from ..precision.causes import Stored
from ..precision.notes import Note
from ..spec import Array, Arrays
from ..target import AuditOp, Runner
from .manifest import LayerEntry
from .ranked import LayerError, chosen

if TYPE_CHECKING:
    from ..judge import Judged
    from ..target import Target

SAMPLES = 4
"""How many held-back samples the layers that are explained are looked at with; one tells what rounding does to the others."""

MOST_LAYERS = 1000
MOST_REMEDIES = 64


def layers(target: Target, judged: Judged, held_back: Iterable[Arrays]) -> tuple[LayerError, ...]:
    """The layers that were compared, in the order of the graph; those that matter most with cause and remedy."""
    ops = {op.name: op for op in judged.audit.ops}
    compared = [layer for layer in judged.layers if layer.name in ops]
    if not compared:
        return ()
    samples = list(islice(held_back, SAMPLES))
    float32 = target.open(judged.float32, judged.rows[0].backend)
    rounded = dict(_rounded(float32, samples[0], judged.runner.stored(samples[0])))
    measured = {layer.name: layer.sqnr_db for layer in compared}
    found = tuple(_layer(ops[name], measured, rounded.get(name)) for name in measured)
    wanted = {found[place].name: place for place in chosen(found)}
    seen = _seen(float32, samples, wanted)
    stored, original = (runner.stored(samples[0], wanted) for runner in (judged.runner, float32))
    explained = {
        place: replace(
            _explained(found[place], seen[name], stored.get(name), original.get(name)),
            remedy=_remedy(ops[name], stored.get(name), judged.notes),
        )
        for name, place in wanted.items()
        if name in seen
    }
    return tuple(explained.get(place, layer) for place, layer in enumerate(found))


def _layer(op: AuditOp, measured: Mapping[str, float], rounding_db: float | None) -> LayerError:
    exact = math.inf if measured[op.name] >= MAX_DB else measured[op.name]
    before_db = min((measured[name] for name in op.reads if name in measured), default=None)
    return LayerError(op.name, op.kind, op.precision, exact, rounding_db, before_db)


def _rounded(float32: Runner, inputs: Arrays, stored: Mapping[str, Stored]) -> Iterator[tuple[str, float]]:
    """What rounding alone leaves of every layer that has a grid."""
    for name, values in float32.layers(inputs).items():
        grid = stored[name].result if name in stored else None
        if grid is not None and values.size:
            yield name, causes.rounding(values, grid)


def _seen(float32: Runner, samples: Iterable[Arrays], wanted: Collection[str]) -> dict[str, Array]:
    """The float values of some layers, of all samples as one batch; of a shape that varies, those like the first."""
    found: dict[str, list[Array]] = {}
    for inputs in samples:
        for name, values in float32.layers(inputs).items():
            if name in wanted and values.size and np.isfinite(values).all():
                known = found.setdefault(name, [])
                known += [values] if not known or known[0].shape == values.shape else []
    return {
        name: np.concatenate(each) if each[0].ndim > 1 else np.stack(each) for name, each in found.items()
    }


def _explained(
    layer: LayerError, values: Array, stored: Stored | None, original: Stored | None
) -> LayerError:
    """A layer with what its values and weights are like, and why it errs."""
    stored = stored or Stored()
    seen = causes.look(values, stored)
    weights = causes.weigh(original.weights, stored) if original and original.weights is not None else None
    told = causes.cause(seen, weights, layer.sqnr_db, layer.before_db)
    return replace(layer, cause=told, values=seen, weights=weights)


def _remedy(op: AuditOp, stored: Stored | None, notes: Iterable[Note]) -> str:
    """What was done for one layer, in words."""
    told = [f"{op.precision} here: {op.reason}"] if op.reason else []
    if stored and stored.result is not None and stored.result.scale.size > 1:
        scale = stored.result.scale
        told.append(f"channels equalised by up to {float(scale.max() / scale.min()):.3g}x")
    told += [_of_layer(note) for note in notes if note.where == op.name]
    return "; ".join(told)


def _of_layer(note: Note) -> str:
    return note.told("") if note.skipped else f"range by {note.told('its own values')}"


def remedies(judged: Judged) -> tuple[str, ...]:
    """What was done for all layers, in words: what the lowering tried, and what a search moved up."""
    told = [note.told("outputs") for note in judged.notes if not note.where]
    return (*told, *_moved(judged))[:MOST_REMEDIES]


def _moved(judged: Judged) -> Iterator[str]:
    """What the ops that a search moved up gained and cost."""
    points = judged.search.points if judged.search else []
    taken = next((point for point in points if point.trial.plan == judged.plan), None)
    start = (
        next((point for point in points if point.trial.plan == taken.ladder.start), None) if taken else None
    )
    if taken is None or start is None or not taken.count or start.trial.error:
        return
    gain, cost = taken.trial.sqnr_db - start.trial.sqnr_db, taken.trial.bytes / start.trial.bytes - 1
    yield f"{taken.name}: {gain:+.1f} dB, {100 * cost:+.1f} % bytes beside {start.name} alone"


def entries(layers: Iterable[LayerError]) -> tuple[LayerEntry, ...]:
    """As a manifest has them: of very many the worst, in the order of the graph."""
    layers = tuple(layers)
    worst = sorted(range(len(layers)), key=lambda place: layers[place].sqnr_db)[:MOST_LAYERS]
    return tuple(
        LayerEntry(
            op=layer.name,
            kind=layer.kind,
            precision=layer.precision,
            sqnr_db=_finite(layer.sqnr_db),
            rounding_db=None if layer.rounding_db is None else _finite(layer.rounding_db),
            cause=layer.cause,
            remedy=layer.remedy,
        )
        for layer in (layers[place] for place in sorted(worst))
    )


def _finite(value: float) -> float:
    """Decibels as JSON can hold them."""
    return round(min(max(value, -MAX_DB), MAX_DB), 2)
