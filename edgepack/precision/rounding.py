"""Weights rounded to int8 so that a layer's outputs change least, not each weight by itself.

Columns of weights are rounded one after the other, and those to come make up for the error: Frantar et al., GPTQ, 2023,
the most active inputs first. The bias takes up what the mean of the outputs is off still: Nagel et al., Data-Free
Quantization, 2019, section 4.2. Which leaves rounding freer; but where a convolution reads padding, the mean is another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..compress.recover import in_columns
from ..spec import Array

MOST = 127
FEWEST_CODES = 64
RIDGE = 0.01
"""Relative to the mean square of an input: what keeps weights near their own where samples tell too little."""

How = Literal["biases", "rounding", "centred rounding"]
"""Biases alone make up for the nearest codes; weights do too; weights leave the mean to the biases."""

WIDEST = 2304
"""A layer that reads more inputs at a place, those of 3x3 of 256 channels, keeps the nearest integers: rounding would take
minutes, and GBs."""

TOO_WIDE = f"more than {WIDEST:,} inputs at a place would take minutes and GBs"
CODED = "the weights of a codebook stay as they are"
SHARED = "weights that layers share keep the nearest integers"
GROUPED = "grouped convolutions keep the nearest integers"
TRANSPOSED = "transposed convolutions keep the nearest integers"
"""Why a layer is passed over."""


@dataclass
class Inputs:
    """Adds up second moments of what a layer reads, of one or of many groups of inputs that have weights of their own.

    Attributes:
        gram: sums of x x', [groups, in, in].
        total: sums of x, [groups, in].
    """

    gram: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    total: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    count: int = 0

    def see(self, rows: Array) -> None:
        """Inputs at some places, [groups, places, in]."""
        gram, total = np.matmul(rows.transpose(0, 2, 1), rows), rows.sum(1)
        self.gram, self.total = (self.gram + gram, self.total + total) if self.count else (gram, total)
        self.count += rows.shape[1]

    @property
    def mean(self) -> Array:
        """[groups, in]."""
        found: Array = self.total / max(self.count, 1)
        return found

    def metric(self, centred: bool) -> Array:
        """E[x x'], around the mean or not, and a ridge, [groups, in, in], positive definite."""
        metric: Array = (self.gram / max(self.count, 1)).astype(np.float64)
        if centred:
            mean = self.mean.astype(np.float64)
            metric -= mean[:, :, None] * mean[:, None, :]
        power = np.diagonal(metric, axis1=1, axis2=2).mean(1)
        strength = np.maximum(RIDGE * power, 1e-12)
        metric += strength[:, None, None] * np.eye(metric.shape[-1])
        return metric


def scales(weight: Array) -> Array:
    """The int8 step of every row, [out, 1]: symmetric, the greatest weight is 127 of them."""
    step: Array = np.maximum(np.abs(weight).max(axis=1, keepdims=True) / MOST, 1e-30)
    return step


def is_coded(weight: Array) -> bool:
    """Whether weights [out, in] are from a codebook already: rounding must not give them others."""
    units = np.rint(weight / scales(weight) * 1024).astype(np.int64)
    return weight.size > 4 * FEWEST_CODES and len(np.unique(np.abs(units))) <= FEWEST_CODES


def nearest(weight: Array) -> Array:
    """Weights as int8 [out, in], each by itself."""
    found: Array = np.rint(weight / scales(weight)).astype(np.int8)
    return found


def codes(weight: Array, inputs: Inputs, centred: bool = False) -> Array:
    """Weights as int8 [out, in]; those that are zero stay zero.

    Args:
        weight: [out, in]; with several groups of inputs, a row for each.
        centred: mind how inputs vary alone, and leave all of the mean to the bias.
    """
    metrics, units = inputs.metric(centred), (weight / scales(weight)).astype(np.float64)
    return (_shared(units, metrics[0]) if len(metrics) == 1 else _by_row(units, metrics)).astype(np.int8)


def settled(weight: Array, inputs: Inputs, how: How, has_bias: bool) -> tuple[Array, Array]:
    """Weights as int8, [out, in], and what to add to the bias, [out]."""
    found = (
        nearest(weight) if how == "biases" else codes(weight, inputs, has_bias and how == "centred rounding")
    )
    return found, shift(weight, found, inputs)


def _shared(units: Array, metric: Array) -> Array:
    """Of rows that have one metric, [in, in]."""
    order = np.argsort(-np.diag(metric), kind="stable")
    units = units[:, order]
    zeros = units == 0

    def settle(block: Array, first: int, pivots: Array) -> Callable[[Array, int], Array]:
        return lambda column, index: _nearest(column, zeros[:, first + index])

    found = np.empty_like(units)
    found[:, order] = in_columns(units, np.linalg.inv(metric[np.ix_(order, order)]), settle)
    return found


def _by_row(units: Array, metrics: Array) -> Array:
    """Of rows with a metric each, [out, in, in], as depthwise layers have them: few inputs, many rows, all at once."""
    units = units.copy()
    zeros = units == 0
    upper = np.linalg.cholesky(np.linalg.inv(metrics)).transpose(0, 2, 1)
    for index in range(units.shape[1]):
        settled = _nearest(units[:, index], zeros[:, index])
        error = (units[:, index] - settled) / upper[:, index, index]
        units[:, index] = settled
        units[:, index + 1 :] -= error[:, None] * upper[:, index, index + 1 :]
    return units


def _nearest(column: Array, zeros: Array) -> Array:
    found: Array = np.where(zeros, 0, np.clip(np.rint(column), -MOST, MOST))
    return found


def shift(weight: Array, rounded: Array, inputs: Inputs) -> Array:
    """What to add to the bias so that the mean output stays, [out]."""
    off = weight - rounded * scales(weight)
    moved: Array = np.einsum("oi,oi->o", off, np.broadcast_to(inputs.mean, off.shape))
    return moved
