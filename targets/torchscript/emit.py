"""A graph, a plan and ranges as a TorchScript module: every op in its precision, converted between only where they meet."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgepack.spec import Precision, Quantization, Signature
from edgepack.target import Plan

from .graph import arguments, kind, value
from .kernels import (
    BINARY,
    CONVOLUTIONS,
    FIXED,
    PASSING,
    RECURRENT,
    RESCALING,
    Limits,
    absorbed,
)
from .packing import bias_of, pack, pack_cells, stored
from .ranges import Ranges, quantization
from .rounding import Rounded
from .script import Ref, Script, specs

PLACES = {"device", "layout", "pin_memory"}
"""Where a new tensor lies: in an app, where it always does."""


def emit(
    module: GraphModule,
    signature: Signature,
    plan: Plan,
    limits: Limits,
    ranges: Ranges,
    layers: Mapping[str, Rounded],
    outputs: Sequence[Node],
    notes: Mapping[str, object],
) -> bytes:
    """The file of a plan; an op that cannot take its precision gets the next best.

    Args:
        ranges: of what the ops give that compute in int8, and of their inputs.
        layers: weights with a rounding of their own, by the node's name.
        outputs: what to give under the signature's names.
        notes: what else the file is to say of itself.
    """
    return _Emitter(module, signature, plan, limits, ranges, layers).emit(outputs, notes)


class _Emitter:
    """Walks the graph once. A value can be had as float and as int8; the other form is made when first asked for."""

    def __init__(
        self,
        module: GraphModule,
        signature: Signature,
        plan: Plan,
        limits: Limits,
        ranges: Ranges,
        layers: Mapping[str, Rounded],
    ) -> None:
        self._module = module
        self._signature = signature
        self._plan = plan
        self._limits = limits
        self._ranges = ranges
        self._layers = layers
        self._clamps = absorbed(module)
        self._owners = {clamp: source for source, clamp in self._clamps.items()}
        self._script = Script([spec.name for spec in signature.inputs])
        self._real: dict[Node, Any] = {}
        self._stored: dict[Node, Ref] = {}
        self._quantization: dict[Node, Quantization] = {}
        self._packs: dict[tuple[Any, ...], tuple[str, Any]] = {}

    def emit(self, outputs: Sequence[Node], notes: Mapping[str, object]) -> bytes:
        inputs = iter(self._script.inputs)
        for node in self._module.graph.nodes:
            if node.op == "placeholder":
                self._real[node] = next(inputs)
            elif node.op == "call_function":
                self._call(node)
        boundary = {"inputs": specs(self._signature.inputs), "outputs": specs(self._signature.outputs)}
        return self._script.save(list(map(self._as_real, outputs)), {**boundary, **notes})

    def precision(self, node: Node) -> Precision:
        name = self._owners.get(node, node).meta["name"]
        return self._plan.ops.get(name, self._plan.default)

    def _call(self, node: Node) -> None:
        if node.target is operator.getitem:
            self._item(node)
            return
        precision = self.precision(node)
        if precision == Precision.INT8 and self._limits.is_static(node):
            self._static(node)
        elif precision in (Precision.INT8, Precision.INT8_DYNAMIC) and self._limits.is_dynamic(node):
            self._dynamic(node)
        else:
            self._float(node)

    def _item(self, node: Node) -> None:
        source, index = node.args
        found = self._real[source]  # type: ignore[index]
        is_list = isinstance(found, Ref)
        self._real[node] = self._script.item(found, index) if is_list else found[index]  # type: ignore[arg-type]

    def _float(self, node: Node) -> None:
        args, options = [], {}
        for place, argument in enumerate(node.target._schema.arguments):  # type: ignore[union-attr]
            if place < len(node.args) and not argument.kwarg_only:
                args.append(self._resolved(node.args[place]))
            elif argument.name in node.kwargs and argument.name not in PLACES:
                options[argument.name] = self._resolved(node.kwargs[argument.name])
        outputs = len(node.target._schema.returns)  # type: ignore[union-attr]
        name = self._owners.get(node, node).meta["name"]
        self._real[node] = self._script.call(name, kind(node), args, options, outputs)

    def _resolved(self, argument: Any) -> Any:
        if isinstance(argument, Node):
            return self._as_real(argument)
        if isinstance(argument, list | tuple):
            return [self._resolved(each) for each in argument]
        return argument

    def _as_real(self, node: Node) -> Ref:
        if node.op == "get_attr":
            return self._script.attribute(str(node.target), value(self._module, str(node.target)))
        if node not in self._real:
            name = f"{self._name(node)}.dequantize"
            self._real[node] = self._script.call(name, "aten::dequantize", [self._stored[node]])
        found: Ref = self._real[node]
        return found

    def _as_stored(self, node: Node) -> Ref:
        if node not in self._stored:
            own = quantization(self._ranges[node.name])
            args = [self._as_real(node), own.scale, own.zero_point, torch.quint8]
            self._stored[node] = self._script.call(
                f"{self._name(node)}.quantize", "aten::quantize_per_tensor", args
            )
            self._quantization[node] = own
        return self._stored[node]

    def _name(self, node: Node) -> str:
        found = self._owners.get(node, node)
        return str(found.meta.get("name", found.name))

    def _store(self, node: Node, made: Any, own: Quantization) -> None:
        for each in (node, self._clamps.get(node)):
            if each is not None:
                self._stored[each], self._quantization[each] = made, own

    def _static(self, node: Node) -> None:
        """In int8; of a clamp that the op before it has in its range, nothing is left."""
        if node in self._owners:
            return
        name, op = node.meta["name"], kind(node)
        own = quantization(self._ranges[self._clamps.get(node, node).name])
        scaled: list[float] = [own.scale, own.zero_point]
        if op in CONVOLUTIONS | {"aten::linear"}:
            source: Any = node.args[0]
            given = self._as_stored(source)
            kernel, packed = self._packed(node, self._quantization[source].scale)
            args = [given, self._script.attribute(name, packed), *scaled]
            self._store(node, self._script.call(name, f"quantized::{kernel}", args), own)
        elif op in BINARY:
            both = [self._as_stored(each) for each in node.args[:2]]  # type: ignore[arg-type]
            self._store(node, self._script.call(name, BINARY[op], [*both, *scaled]), own)
        elif op == "aten::cat":
            parts, *axis = node.args
            stored = [self._as_stored(each) for each in parts]  # type: ignore[arg-type,union-attr]
            options = {"scale": own.scale, "zero_point": own.zero_point}
            made = self._script.call(name, "quantized::cat", [stored, *(axis or [0])], options)
            self._store(node, made, own)
        elif op in RESCALING:
            self._rescale(node, scaled, own)
        elif op in PASSING:
            source = node.args[0]
            args = [self._as_stored(source), *node.args[1:]]
            self._store(node, self._script.call(name, op, args, node.kwargs), self._quantization[source])
        else:
            made = self._script.call(name, op, [self._as_stored(node.args[0])])  # type: ignore[arg-type]
            self._store(node, made, FIXED[op])

    def _packed(self, node: Node, step: float = math.inf) -> tuple[str, Any]:
        """Packed once, however often a layer runs.

        Args:
            step: of the input, where it is int8.
        """
        rest = (each.target if isinstance(each, Node) else str(each) for each in node.args[1:])
        layer = self._layers.get(node.name)
        weight = stored(self._module, node, layer, step)
        key = (kind(node), *rest, weight.q_per_channel_scales().numpy().tobytes())
        if key not in self._packs:
            self._packs[key] = pack(node, weight, bias_of(self._module, node, layer))
        return self._packs[key]

    def _rescale(self, node: Node, scaled: list[float], own: Quantization) -> None:
        op = kind(node)
        args: list[Any] = [self._as_stored(node.args[0])]  # type: ignore[arg-type]
        rest = list(arguments(node).values())[1:]
        match op:
            case "aten::leaky_relu":
                args += [rest[0], False]
            case "aten::elu":
                args += [*scaled, *rest]
                scaled = []
        self._store(node, self._script.call(node.meta["name"], RESCALING[op], [*args, *scaled]), own)

    def _dynamic(self, node: Node) -> None:
        name, op, given = node.meta["name"], kind(node), arguments(node)
        if op not in RECURRENT:
            kernel, packed = self._packed(node)
            args = [self._as_real(given["input"]), self._script.attribute(name, packed), False]
            self._real[node] = self._script.call(name, f"quantized::{kernel}_dynamic", args)
            return
        cells = [self._script.attribute(name, cell) for cell in pack_cells(self._module, node)]
        shape = [given[key] for key in ("num_layers", "dropout", "train", "bidirectional", "batch_first")]
        args = [self._as_real(given["input"]), self._resolved(given["hx"]), cells, True, *shape]
        options = {"dtype": torch.qint8, "use_dynamic": True} if op == "aten::lstm" else {}
        kernel = op.replace("aten::", "aten::quantized_")
        outputs = len(node.target._schema.returns)  # type: ignore[union-attr]
        self._real[node] = self._script.call(name, kernel, args, options, outputs)
