"""Real values and the integers that stand for them, as LiteRT's QUANTIZE and DEQUANTIZE have it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .spec import Quantization, TensorSpec


def dequantize(stored: Any, quantization: Quantization | None) -> Any:
    """Real values, float32, of stored integers; other values as they are."""
    if quantization is None or quantization.scale == 0:
        return stored
    return (stored.astype(np.float32) - np.float32(quantization.zero_point)) * np.float32(quantization.scale)


def quantize(real: Any, spec: TensorSpec) -> Any:
    """The stored integers for real values: rounded to the nearest, clamped (as LiteRT's QUANTIZE does)."""
    if spec.quantization is None or spec.quantization.scale == 0:
        return np.asarray(real).astype(spec.dtype)
    limits = np.iinfo(spec.dtype)
    stored = (
        np.rint(np.asarray(real, np.float32) / np.float32(spec.quantization.scale))
        + spec.quantization.zero_point
    )
    return np.clip(stored, limits.min, limits.max).astype(spec.dtype)
