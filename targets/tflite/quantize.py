"""Plans as recipes of ai-edge-quantizer, and what no recipe can say."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_quantizer import algorithm_manager, qtyping, quantizer, recipe_manager
from ai_edge_quantizer.utils import tfl_flatbuffer_utils

from edgepack.errors import ModelError
from edgepack.spec import Precision
from edgepack.target import Plan

from .calibrate import Ranges
from .endless import finite
from .flatbuffer import ModelView, OpView, with_true_boundary
from .islands import ABSORBED, absorb
from .tables import with_whole_steps
from .unread import as_siblings
from .weights import with_fitting_biases

Algorithm = algorithm_manager.AlgorithmName
Kind = qtyping.TFLOperationName

SOFTMAX_STEPS = 16
"""The int8 softmax answers in steps of 1/256. Where not even its best value reaches 16 of them, nothing is left of it."""

INTEGERS = (Precision.INT8, Precision.INT16X8, Precision.INT8_DYNAMIC)
"""The precisions whose values have steps of one size."""

_KINDS = {name: code for code, name in tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME.items()}


def limits(op: OpView, ranges: Ranges) -> Mapping[Precision, str]:
    """The precisions that an op cannot take, each with the reason."""
    found: dict[Precision, str] = {}
    for precision in INTEGERS:
        if op.subgraph and precision != Precision.INT8_DYNAMIC:
            found[precision] = "it is inside a loop or branch, where ranges cannot be measured"
        elif not _is_supported(op, precision) and not (precision == Precision.INT8 and op.kind in ABSORBED):
            found[precision] = f"the quantizer has no {precision.value} form of {op.kind}"
    peak = ranges.get(op.name, {}).get("max")
    if op.kind == "SOFTMAX" and peak is not None and float(peak.max()) < SOFTMAX_STEPS / 256:
        found[Precision.INT8] = f"its best value is {float(peak.max()):.2g}, too little for steps of 1/256"
    return found


def _is_supported(op: OpView, precision: Precision) -> bool:
    kind = _kind(op)
    if kind is None or (precision == Precision.INT8_DYNAMIC and not op.constants):
        return False
    manager = recipe_manager.RecipeManager()
    _add(manager, ".*", precision)
    return bool(manager.get_quantization_configs(kind, op.name)[0] != Algorithm.NO_QUANTIZE)


def _kind(op: OpView) -> Any:
    """The quantizer's name of an op's kind; None for one that it does not know."""
    names = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}
    name = names.get(op.kind, op.kind)
    return Kind(name) if name in Kind.__members__ and Kind(name) in _KINDS else None


def weight_bytes(view: ModelView, op: OpView) -> int:
    return sum(view.data_bytes(op.subgraph, index) for index in op.constants)


def quantize(
    float32: bytes,
    view: ModelView,
    plan: Plan,
    ranges: Ranges | None,
    exact: Collection[str] = (),
) -> bytes:
    """The file of a plan.

    Args:
        exact: ops that stay in float, and the inputs that they read, whatever the plan says.

    Raises:
        ModelError: the quantizer refuses it.
    """
    if ranges is not None:
        float32, ranges = finite(float32, view, _widened(view, ranges, plan))
    tool = quantizer.Quantizer(float32, _recipe(view, plan, exact).get_quantization_recipe())
    try:
        result = tool.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    except Exception as error:
        raise ModelError(
            f"The quantizer refused {plan.default.value}: {str(error).strip().splitlines()[0][:300]}",
            "Try another --precision: int8_dynamic and float16 need no ranges.",
        ) from error
    data = as_siblings(with_true_boundary(bytes(result.quantized_model)))
    data = with_whole_steps(with_fitting_biases(data, view), view)
    return absorb(data, ranges) if ranges is not None else data


def _widened(view: ModelView, ranges: Ranges, plan: Plan) -> Ranges:
    """Ranges that no fused RELU6 overflows: its bound of 6, in steps of the output's scale, has to fit an int32.

    Where all values of a tensor are that near to zero, the wider range loses nothing.
    """
    int16 = Precision.INT16X8 in (plan.default, *plan.ops.values())
    least = np.float32((2**15 if int16 else 2**8) * 6 / 2**30)
    bounded = {view.tensor_name(op.subgraph, op.outputs[0]) for op in view.ops if op.bounded}
    narrow = {name for name in bounded & set(ranges) if float(ranges[name]["max"].max()) < least}
    widened = {
        **ranges,
        **{name: {**ranges[name], "max": np.full_like(ranges[name]["max"], least)} for name in narrow},
    }
    return _off_powers_of_two(view, widened) if int16 else widened


def _off_powers_of_two(view: ModelView, ranges: Ranges) -> Ranges:
    """Ranges of sums a little wider than a power of two, as ``x / 127.5 - 1`` has it.

    Where all scales of an int16 ADD or SUB are powers of two, LiteRT takes another kernel, which wants the output's
    scale to be the greatest and refuses the file otherwise (CheckedLog2 in tensorflow/lite/kernels/add.cc).
    """
    sums = {view.tensor_name(op.subgraph, op.outputs[0]) for op in view.ops if op.kind in ("ADD", "SUB")}
    wider = {}
    for name in sums & set(ranges):
        peak = max(float(np.abs(edge).max()) for edge in ranges[name].values())
        if peak > 0 and abs(np.log2(peak) - round(np.log2(peak))) < 2e-3:
            wider[name] = {edge: values * np.float32(1.01) for edge, values in ranges[name].items()}
    return {**ranges, **wider}


def _recipe(view: ModelView, plan: Plan, exact: Collection[str]) -> recipe_manager.RecipeManager:
    manager = recipe_manager.RecipeManager()
    _add(manager, ".*", plan.default)
    for op in view.ops:
        precision = Precision.FLOAT32 if op.name in exact else plan.ops.get(op.name)
        if precision is not None and precision != plan.default:
            if not _is_supported(
                op, precision
            ):  # the default would stay: a SOFTMAX has no weights to store in float16
                precision = Precision.FLOAT32
            _add(manager, _exactly(view, op.subgraph, op.outputs), precision)
    for inner in range(1, len(view.model.subgraphs)):  # loop bodies keep float inputs and outputs
        for boundary, indices in ((Kind.INPUT, view.inputs(inner)), (Kind.OUTPUT, view.outputs(inner))):
            manager.add_quantization_config(
                _exactly(view, inner, indices), boundary, algorithm_key=Algorithm.NO_QUANTIZE
            )
    read_exactly = {index for op in view.ops if op.name in exact for index in op.inputs}
    if read_exactly & set(view.inputs(0)):  # all inputs are one op to the quantizer
        manager.add_quantization_config(".*", Kind.INPUT, algorithm_key=Algorithm.NO_QUANTIZE)
    if plan.io == "float":
        for boundary in (Kind.INPUT, Kind.OUTPUT):
            manager.add_quantization_config(".*", boundary, algorithm_key=Algorithm.NO_QUANTIZE)
    return manager


def _exactly(view: ModelView, subgraph: int, tensors: Sequence[int]) -> str:
    """A pattern for the one scope that the quantizer makes of these tensors' names."""
    return "^" + re.escape("".join(f"{view.tensor_name(subgraph, index)};" for index in tensors)) + "$"


def _add(manager: recipe_manager.RecipeManager, scope: str, precision: Precision) -> None:
    match precision:
        case Precision.INT8:
            manager.add_static_config(scope, Kind.ALL_SUPPORTED, 8, 8)
        case Precision.INT16X8:
            manager.add_static_config(scope, Kind.ALL_SUPPORTED, 16, 8)
        case Precision.INT8_DYNAMIC:
            manager.add_dynamic_config(scope, Kind.ALL_SUPPORTED, 8)
        case Precision.FLOAT16:
            manager.add_weight_only_config(
                scope, Kind.ALL_SUPPORTED, 16, algorithm_key=Algorithm.FLOAT_CASTING
            )
        case Precision.FLOAT32:
            manager.add_quantization_config(scope, Kind.ALL_SUPPORTED, algorithm_key=Algorithm.NO_QUANTIZE)
