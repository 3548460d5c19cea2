"""A program of torch.export, rewritten in place so that the converter leaves fewer ops and transposes, and knows those that there are.

Batch normalisation is folded into the convolution or linear layer before it. The converter would do the same, but only
where no transpose is between the two, as in a Conv1d; and a program that is traced four times on its way is better small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from . import torch_cells, torch_complex, torch_convolutions, torch_pools
from .torch_convolutions import TRANSPOSED
from .torch_steps import Steps, put

_aten = torch.ops.aten
_LAYERS = {
    _aten.conv1d.default,
    _aten.conv2d.default,
    _aten.conv3d.default,
    _aten.linear.default,
    *TRANSPOSED,
}
"""Their arguments begin with (x, weight, bias), and the weight with its output channels; transposed, those come second."""


def simplify(exported: ExportedProgram) -> None:
    """Compute the same by fewer ops; weights that change are new tensors."""
    torch_cells.join(exported)
    torch_complex.spell(exported)
    _mirror_in_two_dimensions(exported)
    torch_convolutions.spell_padding(exported)
    _fold_normalisations(exported)
    torch_convolutions.spell_transposed(exported)
    torch_pools.spell(exported)
    _keep_channels_last(exported)
    exported.graph_module.recompile()


def _mirror_in_two_dimensions(exported: ExportedProgram) -> None:
    """Reflect the ends of a sequence as an image's: of that the converter makes one op, of the other eleven."""
    for node in list(exported.graph.nodes):
        if node.target not in (_aten.pad.default, _aten.reflection_pad1d.default):
            continue
        sequence, sizes, *options = node.args
        is_reflected = node.target == _aten.reflection_pad1d.default or options[:1] == ["reflect"]
        if is_reflected and len(sizes) == 2:
            steps = Steps(node, sequence)
            *rest, length = steps.sizes
            steps.then(_aten.reshape.default, [1, math.prod(rest), 1, length])
            steps.then(_aten.reflection_pad2d.default, [*sizes, 0, 0])
            steps.then(_aten.reshape.default, list(node.meta["val"].shape))
            put(exported, node, steps.made)


def _keep_channels_last(exported: ExportedProgram) -> None:
    """Take the mean of an image with its dimensions kept, then drop them: that the converter does channels last."""
    graph = exported.graph
    for node in list(graph.nodes):
        if node.target != _aten.mean.dim or True in node.args[2:]:
            continue
        x, dims, *_ = node.args
        if x.meta["val"].ndim != 4 or {dim % 4 for dim in dims or ()} != {2, 3}:
            continue
        with graph.inserting_after(node):
            flat = graph.call_function(_aten.reshape.default, (node, list(node.meta["val"].shape)))
        flat.meta = dict(node.meta)
        node.replace_all_uses_with(flat, delete_user_cb=lambda user, flat=flat: user is not flat)
        node.args = (x, dims, True)
        node.meta["val"] = node.meta["val"][..., None, None]


def _fold_normalisations(exported: ExportedProgram) -> None:
    graph, signature = exported.graph, exported.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    for node in list(graph.nodes):
        layer = node.args[0] if node.target == _aten.batch_norm.default else None
        if isinstance(layer, Node) and _can_fold(layer, node, names):
            _fold(exported.state_dict, names, layer, node)
            graph.erase_node(node)


def replace(state: dict[str, Any], name: str, tensor: torch.Tensor) -> None:
    """Put another tensor in a weight's place; what the model holds stays as it is."""
    is_parameter = isinstance(state[name], torch.nn.Parameter)
    state[name] = torch.nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor


def _can_fold(layer: Node, norm: Node, names: Mapping[str, str]) -> bool:
    """Whether nothing else reads the layer, its weight or the normalisation's shift, which both are to change."""
    if layer.target not in _LAYERS or len(layer.users) > 1 or norm.args[5]:
        return False
    if layer.target == _aten.linear.default and layer.meta["val"].ndim != 2:
        return False  # its channels are the last axis, those of the normalisation the second
    if layer.target in TRANSPOSED and layer.args[6:7] not in ((), (1,)):
        return False  # the weight has the channels of one group
    if norm.args[2] is None:
        return False
    stored = [each for each in (*layer.args[1:3], *norm.args[1:5]) if each is not None]
    changed = (layer.args[1], norm.args[2])
    return all(isinstance(each, Node) and each.name in names for each in stored) and all(
        isinstance(each, Node) and len(each.users) == 1 for each in changed
    )


def _fold(state: dict[str, Any], names: Mapping[str, str], layer: Node, norm: Node) -> None:
    def value(node: Any, otherwise: float) -> Any:
        return otherwise if node is None else state[names[node.name]].double()

    weight: Any = layer.args[1]
    bias: Any = layer.args[2] if len(layer.args) > 2 else None
    scale, mean, variance = norm.args[1], norm.args[3], norm.args[4]
    shift: Any = norm.args[2]
    epsilon: Any = norm.args[7]
    factor = value(scale, 1.0) * torch.rsqrt(value(variance, 1.0) + epsilon)
    kernel = value(weight, 0.0)
    axis = 1 if layer.target in TRANSPOSED else 0
    folded = kernel * factor.reshape([-1 if dim == axis else 1 for dim in range(kernel.ndim)])
    replace(state, names[weight.name], folded.float())
    offset = (value(bias, 0.0) - value(mean, 0.0)) * factor + value(shift, 0.0)
    replace(state, names[shift.name], offset.float())
    layer.args = (layer.args[0], weight, shift, *layer.args[3:])
    norm.replace_all_uses_with(layer)
