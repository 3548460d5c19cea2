"""Float islands that need not be: ops whose int8 kernel LiteRT has but the quantizer does not know.

The quantizer leaves such an op in float, between a DEQUANTIZE and a QUANTIZE. Here it takes the int8 tensor before the
one and gives the int8 tensor after the other. What the kernels demand of scales is in
tensorflow/lite/kernels and in the quantization spec (tensorflow.org/lite/performance/quantization_spec).
"""

from __future__ import annotations

from typing import Any

from edgepack.target import Plan

FREE = {"LEAKY_RELU", "PRELU", "ELU", "RELU6", "RELU_N1_TO_1", "ABS"}
"""Kernels that rescale: input and output have scales of their own."""

SAME = {"EXPAND_DIMS", "SQUEEZE", "TILE", "DEPTH_TO_SPACE", "REVERSE_V2", "REDUCE_MAX", "TRANSPOSE"}
"""Kernels that copy: input and output share a scale."""

ABSORBED = FREE | SAME


def absorb(data: bytes, ranges: Any, plan: Plan) -> bytes:
    return data
