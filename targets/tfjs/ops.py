"""What TF.js cannot run, found before it is shipped."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from edgepack.errors import ModelError
from edgepack.spec import Array

CONVERTER = "4.22.0"
"""The version of @tensorflow/tfjs-converter that ``ops.txt`` lists the ops of."""

# DataType of tensorflow/core/framework/types.proto
_STRING, _RESOURCE = 7, 20
INTEGERS = {3, 4, 5, 6, 9, 10, 17}
"""And booleans."""

NEEDS_STATE = {
    "HashTable",
    "HashTableV2",
    "LookupTableImport",
    "LookupTableImportV2",
    "LookupTableFind",
    "LookupTableFindV2",
    "LookupTableSize",
    "LookupTableSizeV2",
}
FUNCTIONAL = {"While", "StatelessWhile", "If", "StatelessIf"}
"""The runtime knows these, but the converter makes loops and switches of them; what is left of them has no body."""

Constants = Callable[[str], Array | None]
"""The value of a tensor, where it is constant."""


def _always(node: Any, constant: Constants) -> bool:
    return True


def _is_integer(node: Any, constant: Constants) -> bool:
    return node.attr["T"].type in INTEGERS


def _counts_from_the_end(node: Any, constant: Constants) -> bool:
    axis = constant(node.input[1])
    return axis is not None and bool(axis < 0)


def _steps_over_integers(node: Any, constant: Constants) -> bool:
    strides = constant(node.input[3])
    return node.attr["T"].type in INTEGERS and (strides is None or set(strides) != {1})


WRONG: dict[str, tuple[Callable[[Any, Constants], bool], str]] = {
    "BitwiseAnd": (_always, "its inputs do not reach it"),
    "CropAndResize": (lambda node, _: node.attr["method"].s == b"nearest", "it interpolates; use bilinear"),
    "Cumprod": (_counts_from_the_end, "it counts no axis from the end"),
    "Cumsum": (_counts_from_the_end, "it counts no axis from the end"),
    "Dilation2D": (_always, "it takes nothing below 0 for a maximum"),
    "Einsum": (_always, "it knows neither a letter that comes twice, nor an ellipsis, nor three inputs"),
    "GatherV2": (lambda node, _: bool(node.attr["batch_dims"].i), "it gathers from the first sample for all"),
    "ImageProjectiveTransformV3": (
        lambda node, _: node.attr["fill_mode"].s == b"REFLECT",
        "it reflects otherwise; use another fill mode",
    ),
    "MatrixBandPart": (_always, "it takes no number of diagonals that is computed"),
    "MaxPool3D": (_always, "it takes nothing below 0 for a maximum; give its input a known shape"),
    "MaxPoolWithArgmax": (_always, "it gives no places; use the maxima alone"),
    "Mean": (_is_integer, "it gives fractions of integers; cast before it"),
    "NonMaxSuppressionV5": (
        lambda node, _: node.attr["pad_to_max_output_size"].b,
        "it does not fill up; take what it finds, or NonMaxSuppressionV4",
    ),
    "OneHot": (_always, "it writes integers whatever the type; give its input a known rank"),
    "StridedSlice": (_steps_over_integers, "it steps over floats only; give its input a known shape"),
}
"""Ops that some backend of TF.js 4.22 computes wrongly, where no rewrite took them away; and what is wrong."""


@cache
def known() -> frozenset[str]:
    """The TensorFlow ops that TF.js has a mapping for."""
    return frozenset((Path(__file__).parent / "ops.txt").read_text().split())


def check(nodes: Iterable[Any], constant: Constants) -> None:
    """Raise ModelError that names the ops that TF.js lacks, or computes wrongly, with their layers.

    Args:
        nodes: the NodeDefs of the finished graph.
        constant: the value of one of its tensors, where that is constant.
    """
    nodes = list(nodes)
    for node in nodes:
        if node.op == "Placeholder" and node.attr["dtype"].type in (_STRING, _RESOURCE):
            raise ModelError(
                f"The input '{node.name}' is text or a lookup table, which TF.js does not take.",
                "Move the text processing into the app, and give a model that takes ids.",
            )
    stateful = [node for node in nodes if node.op in NEEDS_STATE]
    if stateful:
        raise ModelError(
            f"The model looks values up in a table, which TF.js cannot load: {_used(stateful)}.",
            "Do the lookup in the app, and give a model that takes ids.",
        )
    missing = [node for node in nodes if node.op not in known() or node.op in FUNCTIONAL]
    if missing:
        kinds = dict.fromkeys(node.op for node in missing)
        raise ModelError(
            f"TF.js has no op {', '.join(kinds)}, used in {_used(missing)}.",
            "Write that layer with other ops, or leave its work to the app, before or after the model.",
        )
    _check_right(nodes, constant)


def _check_right(nodes: Iterable[Any], constant: Constants) -> None:
    wrong = [node for node in nodes if node.op in WRONG and WRONG[node.op][0](node, constant)]
    if wrong:
        kinds = dict.fromkeys(node.op for node in wrong)
        raise ModelError(
            f"TF.js computes {', '.join(kinds)} wrongly, used in {_used(wrong)}.",
            " ".join(f"{kind}: {WRONG[kind][1]}." for kind in kinds),
        )


def _used(nodes: Iterable[Any]) -> str:
    """The scopes of some nodes, which Keras names by layer."""
    scopes = {re.sub(r"^((Stateful)?PartitionedCall/)+", "", node.name) for node in nodes}
    return ", ".join(f"'{scope.rpartition('/')[0] or scope}'" for scope in sorted(scopes)[:5])
