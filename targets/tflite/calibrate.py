"""The range of every activation over the calibration samples: the least and the greatest value, of all samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_quantizer import calibrator, recipe, recipe_manager
from ai_edge_quantizer.utils import qsv_utils

from edgepack.events import Step
from edgepack.spec import Signature
from edgepack.target import Samples

from .flatbuffer import SIGNATURE_KEY, ModelView
from .inputs import with_normalised

Ranges = dict[str, Any]  # tensor name -> {"min": array, "max": array}, as the quantizer takes them

THREADS = 2


def calibrate(float32: bytes, signature: Signature, samples: Samples, step: Step) -> Ranges:
    """Run the float model over the samples, one in memory at a time.

    LiteRT's own profiler collects the ranges in C++, five times as fast as reading every tensor from Python. The
    quantizer's default, a moving average, would forget the first samples' extremes; this keeps them.
    """
    collector = calibrator.Calibrator(
        float32,
        num_threads=THREADS,
        mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
        qsv_update_func=qsv_utils.min_max_update,
    )
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(recipe.static_wi8_ai8())
    for sample in step.track(samples, len(samples)):
        # one at a time: given an iterator, the calibrator would first make a list of it
        collector.calibrate({SIGNATURE_KEY: [dict(sample)]}, manager)
    view = ModelView(float32)
    ranges = _in_rank(collector.get_model_qsvs(), view)
    for spec in signature.inputs:
        if spec.range is not None and spec.name in ranges:
            low, high = spec.range
            ranges[spec.name] = {"min": np.array([low], np.float32), "max": np.array([high], np.float32)}
    return with_normalised(view, ranges, {spec.name for spec in signature.inputs if spec.range is not None})


def _in_rank(ranges: Ranges, view: ModelView) -> Ranges:
    """The ranges with as many dimensions as their tensors have.

    Where a constant takes its scale from a result, the quantizer asks for that; of what it measures, the rank is any.
    """
    for graph in view.model.subgraphs:
        for tensor in graph.tensors:
            found = ranges.get((tensor.name or b"").decode(errors="replace"), {})
            rank = len(tensor.shape) if tensor.shape is not None else 0
            found.update(
                {edge: np.reshape(value, [1] * rank) for edge, value in found.items() if np.size(value) == 1}
            )
    return ranges
