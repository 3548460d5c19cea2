"""What TF.js cannot run, found before it is shipped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from edgepack.errors import ModelError

CONVERTER = "4.22.0"
"""The version of @tensorflow/tfjs-converter that ``ops.txt`` lists the ops of."""

_STRING, _RESOURCE = 7, 20  # DataType of tensorflow/core/framework/types.proto

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


@cache
def known() -> frozenset[str]:
    """The TensorFlow ops that TF.js has a mapping for."""
    return frozenset((Path(__file__).parent / "ops.txt").read_text().split())


def check(nodes: Iterable[Any]) -> None:
    """Raise ModelError that names the ops that TF.js lacks, with their layers.

    Args:
        nodes: the NodeDefs of the finished graph.
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


def _used(nodes: Iterable[Any]) -> str:
    """The scopes of some nodes, which Keras names by layer."""
    scopes = {re.sub(r"^((Stateful)?PartitionedCall/)+", "", node.name) for node in nodes}
    return ", ".join(f"'{scope.rpartition('/')[0] or scope}'" for scope in sorted(scopes)[:5])
