"""What is truly in a TF.js graph model: read from its files, whoever made them.

TF.js turns every weight into float32 when it loads and computes in float, so no op here is ever int8; what differs is how
weights are stored, and the precisions below say so: ``int8_weights``, ``int16_weights``, ``float16_weights``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from edgepack.errors import UsageError
from edgepack.spec import Signature, TensorSpec
from edgepack.target import Audit, AuditOp

Held = TypeVar("Held")

MAX_JSON = 512 * 1024 * 1024
MAX_VALUES = 2**40
MAX_RANK = 8

SIZES = {"float32": 4, "int32": 4, "bool": 1, "complex64": 8, "uint8": 1, "uint16": 2, "float16": 2}
PRECISIONS = {"uint8": "int8_weights", "uint16": "int16_weights", "float16": "float16_weights"}
ROUGHEST = ("int8_weights", "float16_weights", "int16_weights")

DTYPES = {
    "DT_FLOAT": "float32",
    "DT_HALF": "float32",
    "DT_BFLOAT16": "float32",
    "DT_DOUBLE": "float32",
    "DT_INT8": "int32",
    "DT_UINT8": "int32",
    "DT_INT16": "int32",
    "DT_INT32": "int32",
    "DT_INT64": "int32",
    "DT_BOOL": "bool",
    "DT_STRING": "string",
    "DT_COMPLEX64": "complex64",
}
"""What the runtime makes of a graph's types."""

TYPE_ATTRIBUTES = ("T", "DstT", "Tparams", "dtype", "element_dtype", "Tidx")
FLOATS = ("DT_FLOAT", "DT_HALF", "DT_BFLOAT16", "DT_DOUBLE", "DT_COMPLEX64")
INTEGER_KINDS = {"Shape", "ShapeN", "Size", "Rank", "ArgMax", "ArgMin"}
_DAMAGE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OSError, RuntimeError)

PASSING = {"Identity", "Enter", "Merge", "Switch"}
"""What a weight passes on its way into a loop."""
CARRIERS = PASSING | {"Exit", "NextIteration"}
NO_OPS = {"Const", "Placeholder", "NoOp"}


@dataclass(frozen=True)
class Weight:
    """A weight as the manifest describes it.

    Attributes:
        stored: the type it is stored in.
    """

    dtype: str
    stored: str
    bytes: int


def audit(path: Path) -> Audit:
    """Ops, weights and bytes of a ``model.json`` and its shards.

    Raises:
        UsageError: the files are no graph model, are damaged, or point outside of their folder.
    """
    model = _read(path)
    try:
        weights = _weights(model["weightsManifest"], path.parent)
        nodes = nodes_of(model["modelTopology"])
        signature = _signature(model, nodes)
        ops = tuple(_ops(nodes, weights))
    except _DAMAGE as error:
        raise UsageError(
            f"{path} is a damaged graph model: {type(error).__name__} {error}.", "Convert the model again."
        ) from error
    counts = Counter(weight.stored for weight in weights.values())
    sizes: Counter[str] = Counter()
    for weight in weights.values():
        sizes[weight.stored] += weight.bytes
    return Audit(ops, signature, dict(sorted(counts.items())), dict(sorted(sizes.items())), full_int8=False)


def _read(path: Path) -> Mapping[str, Any]:
    hint = "Give the model.json of a TF.js graph model."
    try:
        if path.stat().st_size > MAX_JSON:
            raise UsageError(f"{path} is too large for a model.json.", hint)
        model = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no JSON file that can be read: {error}.", hint) from error
    if not isinstance(model, dict) or not isinstance(model.get("modelTopology"), dict):
        raise UsageError(f"{path} is no TF.js model.", hint)
    if model.get("format") == "layers-model" or "model_config" in model["modelTopology"]:
        raise UsageError(
            f"{path} is a layers model, which is not looked into.", "Give a graph model, or build one."
        )
    return model


def _weights(manifest: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, Weight]:
    """The weights by name, checked against the files that are to hold them."""
    found: dict[str, Weight] = {}
    for group in manifest:
        own = {entry["name"]: _weight(entry) for entry in group["weights"]}
        if len(own) < len(group["weights"]) or own.keys() & found.keys():
            raise ValueError("two weights of one name")
        found |= own
        there = sum(_size(folder, path) for path in group["paths"])
        told = sum(weight.bytes for weight in own.values())
        if there != told and not any(weight.dtype == "string" for weight in own.values()):
            raise UsageError(
                f"The weights of {folder} are damaged: {there} bytes where the model names {told}.",
                "Copy or convert the model again, with all its .bin files.",
            )
    return found


def _weight(entry: Mapping[str, Any]) -> Weight:
    dtype, shape = entry["dtype"], entry["shape"]
    stored = entry.get("quantization", {}).get("dtype", dtype)
    sound = len(shape) <= MAX_RANK and all(isinstance(n, int) and 0 <= n <= MAX_VALUES for n in shape)
    if not sound or (values := prod(shape)) > MAX_VALUES:
        raise ValueError(f"the shape {str(shape[:MAX_RANK])[:100]}")
    return Weight(dtype, stored, 0 if stored == "string" else SIZES[stored] * values)


def _size(folder: Path, path: str) -> int:
    file = (folder / path).resolve()
    if not file.is_relative_to(folder.resolve()) or re.match(r"[a-z]+://", path):
        raise UsageError(f"A weights file lies outside of {folder}: {path[:100]}.", "Do not use this model.")
    if not file.is_file():
        raise UsageError(
            f"There is no {file.name} in {folder}.",
            "Copy the model with all its .bin files beside model.json.",
        )
    return file.stat().st_size


def nodes_of(topology: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    functions = topology.get("library", {}).get("function", [])
    every = [*topology["node"], *(node for function in functions for node in function.get("nodeDef", []))]
    return {str(node["name"]): node for node in every if isinstance(node["op"], str)}


def _signature(model: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]) -> Signature:
    """As the file names it; old files name nothing, and their edges are the placeholders and what nobody reads."""
    signature = model.get("signature") or model.get("userDefinedMetadata", {}).get("signature") or {}
    if signature.get("inputs") or signature.get("outputs"):
        inputs, outputs = ([*signature.get(edge, {}).items()] for edge in ("inputs", "outputs"))
        return Signature(_tensors(inputs), _tensors(outputs))
    read = {_node_of(tensor) for node in nodes.values() for tensor in node.get("input", [])}
    feeds = [(name, _attributes(node)) for name, node in nodes.items() if node["op"] == "Placeholder"]
    leaves = [name for name, node in nodes.items() if name not in read and node["op"] not in NO_OPS]
    return Signature(_tensors(feeds), _tensors((name, _attributes(nodes[name])) for name in leaves))


def _attributes(node: Mapping[str, Any]) -> dict[str, Any]:
    attributes = node.get("attr", {})
    dtype = attributes.get("dtype", attributes.get("T", {})).get("type", "DT_FLOAT")
    return {"dtype": dtype, "tensorShape": attributes.get("shape", {}).get("shape", {})}


def _tensors(entries: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[TensorSpec, ...]:
    return tuple(_tensor(name, info) for name, info in entries)


def _tensor(name: str, info: Mapping[str, Any]) -> TensorSpec:
    sizes = [int(dimension.get("size", 0)) for dimension in info.get("tensorShape", {}).get("dim", [])]
    dtype = DTYPES.get(info.get("dtype", "DT_FLOAT"), "float32")
    return TensorSpec(str(name), tuple(None if size < 0 else size for size in sizes), dtype)


def _ops(nodes: Mapping[str, Mapping[str, Any]], weights: Mapping[str, Weight]) -> Iterable[AuditOp]:
    counted: set[str] = set()
    for name, node in nodes.items():
        if node["op"] in NO_OPS:
            continue
        own = {} if node["op"] in CARRIERS else own_weights(node, nodes, weights)
        size = sum(weight.bytes for key, weight in own.items() if key not in counted)
        counted.update(own)
        yield AuditOp(
            name, node["op"], _precision(node, own.values()), size, reads=tuple(_reads(node, nodes))
        )


def _reads(node: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, None]:
    """The ops whose results a node reads, each once."""
    names = (_node_of(tensor) for tensor in node.get("input", []))
    return dict.fromkeys(name for name in names if name in nodes and nodes[name]["op"] not in NO_OPS)


def own_weights(
    node: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]], weights: Mapping[str, Held]
) -> dict[str, Held]:
    """The weights that an op reads, directly or into a loop."""
    found = {}
    for tensor in node.get("input", []):
        name, steps = _node_of(tensor), 0
        while name in nodes and nodes[name]["op"] in PASSING and steps < len(nodes):
            name, steps = _node_of(nodes[name]["input"][0]), steps + 1
        if name in weights:
            found[name] = weights[name]
    return found


def _precision(node: Mapping[str, Any], weights: Iterable[Weight]) -> str:
    stored = {PRECISIONS.get(weight.stored) for weight in weights if weight.dtype == "float32"}
    for precision in ROUGHEST:
        if precision in stored:
            return precision
    attributes = node.get("attr", {})
    types = [attributes[key].get("type") for key in TYPE_ATTRIBUTES if key in attributes]
    integer = bool(types) and not any(each in FLOATS for each in types)
    return "integer" if integer or node["op"] in INTEGER_KINDS else "float32"


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]
