"""A layer's error, and which layers to look at first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..precision.causes import Values, Weights

EXPLAINED = 4


@dataclass(frozen=True)
class LayerError:
    """How far a layer of the artifact is from that of the float32 artifact.

    Attributes:
        rounding_db: the SQNR that rounding its exact values would leave; None for floats.
        before_db: the SQNR of what it reads, the least of several; None where nothing that was compared.
        cause, remedy: in words, of the few that are explained; so are ``values`` and ``weights``.
    """

    name: str
    kind: str
    precision: str
    sqnr_db: float
    rounding_db: float | None = None
    before_db: float | None = None
    cause: str = ""
    remedy: str = ""
    values: Values | None = None
    weights: Weights | None = None


@dataclass(frozen=True)
class Ranked:
    """A layer, its place in the graph (from 1) and the SQNR of the layer before it."""

    layer: LayerError
    place: int
    before_db: float | None

    @property
    def fall_db(self) -> float:
        """What it loses against the layer before it; all above 40 dB (1 % error) counts as good alike."""
        return min(40.0, math.inf if self.before_db is None else self.before_db) - self.layer.sqnr_db


def worst_layers(layers: tuple[LayerError, ...], count: int = 10) -> tuple[Ranked, ...]:
    """The layers with the lowest SQNR, lowest first; those without error are not among them."""
    before = (None, *(layer.sqnr_db for layer in layers))
    ranked = (Ranked(layer, place, before[place - 1]) for place, layer in enumerate(layers, 1))
    inexact = (item for item in ranked if item.layer.sqnr_db < math.inf)
    return tuple(sorted(inexact, key=lambda item: item.layer.sqnr_db)[:count])


def steepest_fall(layers: tuple[LayerError, ...]) -> Ranked | None:
    """The layer that loses most against the one before it, if that is 6 dB (twice the error) or more: errors add up
    along the graph, so the lowest layers are often the last ones and the victims of an earlier one."""
    steepest = max(worst_layers(layers, len(layers)), key=lambda item: item.fall_db, default=None)
    return steepest if steepest and steepest.fall_db >= 6 else None


def chosen(layers: tuple[LayerError, ...], count: int = EXPLAINED) -> tuple[int, ...]:
    """The layers that are worth explaining, as indices in the order of the graph: where the error grows most, where rounding
    brings in most, and the lowest."""
    rounded = [index for index, layer in enumerate(layers) if layer.rounding_db is not None]
    entering = sorted(rounded, key=lambda index: layers[index].rounding_db or 0.0)
    lowest = [item.place - 1 for item in worst_layers(layers, len(layers))]
    falling = sorted(lowest, key=lambda index: _rise(layers[index]))
    wanted = dict.fromkeys([*falling[:1], *lowest[:1], *entering[: count // 2], *falling])
    return tuple(sorted(list(wanted)[:count]))


def _rise(layer: LayerError) -> float:
    """What a layer gains against what it reads, negative where it loses; above 40 dB (1 % error) all counts as good alike."""
    return layer.sqnr_db - min(40.0, math.inf if layer.before_db is None else layer.before_db)
