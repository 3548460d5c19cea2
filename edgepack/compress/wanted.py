"""What is asked for, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from .. import parity

METHODS = ("prune", "prune_channels", "low_rank", "cluster")
"""The amounts."""

FEWEST_CODES, MOST_CODES = 16, 128
"""How many values pruned layers may have, from nearly all weights gone to nearly none; int8 has 255."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        prune: the share of the layers' weights that go.
        prune_channels: the share of all multiplications that go with whole channels.
        low_rank: the share of the layers' weights that go where two layers take the place of one.
        cluster: how many values a layer's weights may have; where weights go and it is not told, see ``codes``.
        recover_minutes: to learn from the original, after the closed form; None for some, where the gate asks for it.
        augment: whether samples may also be shown changed (see augment).
        keep: layers that are left as they are; the first one and depthwise convolutions always are.
        gate: what the model is to meet; None where that is not told before it is lowered.
    """

    prune: float | None = None
    cluster: int | None = None
    prune_channels: float | None = None
    low_rank: float | None = None
    recover_minutes: float | None = None
    augment: bool = True
    keep: tuple[str, ...] = ()
    gate: parity.Gate | None = None

    @property
    def codes(self) -> int:
        """How many values a layer's weights may have; 0 for any.

        What goes for size goes on: the more weights are set to zero, the less those left need to be told apart, and an app is
        downloaded compressed.
        """
        if self.cluster is not None or self.prune is None:
            return self.cluster or 0
        return max(FEWEST_CODES, round(MOST_CODES * (1 - self.prune)))

    @property
    def is_any(self) -> bool:
        return any(getattr(self, name) is not None for name in METHODS)
