"""How an op computes in int8 (quint8 activations, qint8 weights: what qnnpack takes), and which op can."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.fx import GraphModule, Node

from edgepack.spec import Precision, Quantization

from .graph import arguments, calls, constant, kind

CONVOLUTIONS = {"aten::conv1d", "aten::conv2d"}
RECURRENT = {"aten::lstm", "aten::gru"}
BINARY = {"aten::add": "quantized::add", "aten::mul": "quantized::mul"}
RESCALING = {
    "aten::hardswish": "quantized::hardswish",
    "aten::leaky_relu": "quantized::leaky_relu",
    "aten::elu": "quantized::elu",
}
"""One input, its output in a scale of its own: the kernel's last two arguments."""

FIXED = {
    "aten::sigmoid": Quantization(1 / 256, 0),
    "aten::hardsigmoid": Quantization(1 / 256, 0),
    "aten::tanh": Quantization(2 / 256, 128),
}
"""The output's scale is the kernel's own."""

PASSING = {
    "aten::reshape",
    "aten::permute",
    "aten::transpose",
    "aten::squeeze",
    "aten::unsqueeze",
    "aten::slice",
    "aten::select",
    "aten::max_pool2d",
    "aten::max_pool1d",
    "aten::constant_pad_nd",
    "aten::relu",
    "aten::upsample_nearest2d",
    "aten::upsample_bilinear2d",
    "aten::flip",
    "aten::pixel_shuffle",
    "aten::channel_shuffle",
}
"""The output has its input's scale: values are moved, chosen, or taken from between two neighbours."""

AVERAGES = {"aten::mean", "aten::adaptive_avg_pool2d", "aten::avg_pool2d"}
"""qnnpack gives them their input's scale, of which the average of many values uses little: 15 dB are left where a scale of
its own keeps 49. So they compute in float."""

SCALARS = {"aten::sub", "aten::div", "aten::add", "aten::mul", "aten::rsub"}
CLAMPS = {"aten::relu", "aten::hardtanh", "aten::relu6", "aten::clamp"}


def clamp_bounds(node: Node) -> tuple[float, float] | None:
    """The least and the greatest value that an activation gives, where it is a clamp; infinite where open."""
    infinity = float("inf")
    match kind(node):
        case "aten::relu":
            return 0.0, infinity
        case "aten::relu6":
            return 0.0, 6.0
        case "aten::hardtanh":
            given = arguments(node)
            return float(given["min_val"]), float(given["max_val"])
        case "aten::clamp":
            given = arguments(node)
            low, high = given["min"], given["max"]
            if not all(isinstance(edge, int | float | None) for edge in (low, high)):
                return None
            return -infinity if low is None else float(low), infinity if high is None else float(high)
    return None


def absorbed(module: GraphModule) -> dict[Node, Node]:
    """For the ops that a clamp follows, alone: that clamp. In int8 it is the range of what they write.

    qnnpack's own quantized ReLU6 answers wrong values, and a clamp of its own would be quantized twice.
    """
    found = {}
    for node in calls(module):
        bounds = clamp_bounds(node)
        source = node.args[0] if node.args else None
        if bounds is None or not isinstance(source, Node) or len(source.users) != 1:
            continue
        has_range = kind(source) in {*CONVOLUTIONS, "aten::linear", *BINARY}
        if has_range and bounds[0] <= 0 <= bounds[1]:
            found[source] = node
    return found


class Limits:
    """What each op of a graph can be emitted in, and why not in the others."""

    def __init__(self, module: GraphModule) -> None:
        self._module = module
        self._clamps = set(absorbed(module).values())
        self._static: dict[Node, str] = {}  # why not; empty where it can
        for node in module.graph.nodes:
            self._static[node] = self._why_not_static(node)

    def of(self, node: Node) -> Mapping[Precision, str]:
        """The precisions that an op cannot take, each with the reason."""
        found = {}
        if self._static[node]:
            found[Precision.INT8] = self._static[node]
        if not self.is_dynamic(node):
            found[Precision.INT8_DYNAMIC] = "it has no weights that are quantized on their own"
        return found

    def refuse(self, node: Node, why: str) -> None:
        """Leave an op, and the clamp in its range, in float."""
        for each in (node, absorbed(self._module).get(node)):
            if each is not None:
                self._static[each] = why

    def is_static(self, node: Node) -> bool:
        return not self._static[node]

    def is_dynamic(self, node: Node) -> bool:
        given = arguments(node) if node.op == "call_function" and hasattr(node.target, "_schema") else {}
        match kind(node):
            case "aten::linear":
                return constant(self._module, given["weight"]) is not None
            case "aten::lstm" | "aten::gru":
                return "params" in given  # not the variant for packed sequences
        return False

    def _why_not_static(self, node: Node) -> str:
        found = node.meta.get("val")
        if node.op != "call_function" or not isinstance(found, torch.Tensor) or found.dtype != torch.float32:
            return "it computes no float tensor"
        sources = [each for each in node.all_input_nodes if each.op != "get_attr"]
        if node in self._clamps and self.is_static(sources[0]):
            return ""
        if kind(node) in CONVOLUTIONS | {"aten::linear"}:
            return self._why_no_static_weights(node, sources)
        return _why_no_kernel(node) or ("" if all(map(self.is_static, sources)) else "its input is float")

    def _why_no_static_weights(self, node: Node, sources: list[Node]) -> str:
        given = arguments(node)
        if constant(self._module, given["weight"]) is None:
            return "its weights are no constants"
        if isinstance(given.get("padding"), str):
            return "its padding differs from side to side"
        if kind(node) == "aten::linear" and not all(map(self._fits, sources)):
            return "its input comes from ops that stay float; as int8_dynamic, that input is scaled anew each time"
        return ""

    def _fits(self, node: Node) -> bool:
        """Whether a linear layer may take this input as int8: what is int8, and the model's own inputs."""
        if node.op == "placeholder" or self.is_static(node):
            return True
        moves = kind(node) in SCALARS | PASSING | AVERAGES
        return moves and all(self._fits(each) for each in node.all_input_nodes if each.op != "get_attr")


def _why_no_kernel(node: Node) -> str:
    name = kind(node)
    if name in AVERAGES:
        return "qnnpack would give an average its input's scale, and lose most of it"
    if name in BINARY:
        tensors = [each for each in node.args[:2] if isinstance(each, Node) and each.op != "get_attr"]
        if len(tensors) != 2 or arguments(node).get("alpha", 1) != 1:
            return "a sum or product with a constant stays float"
    if any(source.op == "get_attr" for source in node.all_input_nodes):
        return "it reads a constant"
    known = {*BINARY, *RESCALING, *FIXED, *PASSING, "aten::cat"}
    if name not in known or (name == "aten::constant_pad_nd" and arguments(node)["value"] != 0):
        return f"qnnpack has no exact int8 kernel for {name}"
    return ""
