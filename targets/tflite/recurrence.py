"""PyTorch's recurrent layers as one op a layer and direction, which loops.py turns into a loop; torch.export unrolls them.

What does not depend on the step before, the projection of the inputs, stays outside: one matrix product over all steps.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from litert_converter.mlir import ir
from litert_torch import fx_infra
from litert_torch.backend import lowerings
from torch import Tensor
from torch.nn import functional

from edgepack.errors import ModelError

from .loops import CUSTOM_CODE
from .torch_errors import module_of

OP = "edgepack::recurrence"


def _recurrence_shapes(
    cell: str, projected: Tensor, weights: list[Tensor], states: list[Tensor], reverse: bool
) -> list[Tensor]:
    """The state after every step, [steps, batch, size], and the last states, [batch, size]."""
    steps, batch, _ = projected.shape
    return [
        projected.new_empty((steps, batch, states[0].shape[-1])),
        *(torch.empty_like(state) for state in states),
    ]


def _lower_recurrence(
    context: Any, cell: str, projected: Any, weights: Sequence[Any], states: Sequence[Any], reverse: bool
) -> list[Any]:
    options = json.dumps(
        {"module": module_of(context.node), "cell": cell, "weights": len(weights), "reverse": reverse}
    )
    op = ir.Operation.create(
        "tfl.custom",
        results=lowerings.utils.node_meta_to_ir_types(context.node),
        operands=[projected, *weights, *states],
        attributes={
            "custom_code": ir.StringAttr.get(CUSTOM_CODE),
            "custom_option": ir.Attribute.parse(f'#tfl<const_bytes: "0x{options.encode().hex()}">'),
        },
    )
    return list(op.results)


def _register() -> None:
    """Let the converter take recurrent layers as this module has them."""
    torch.library.define(
        OP, "(str cell, Tensor projected, Tensor[] weights, Tensor[] states, bool reverse) -> Tensor[]"
    )
    torch.library.register_fake(OP, _recurrence_shapes)
    lowerings.lower(torch.ops.edgepack.recurrence.default)(_lower_recurrence)
    aten = torch.ops.aten
    fx_infra.decomp.update_pre_convert_decomp(
        {
            aten.lstm.input: _lstm,
            aten.gru.input: _of_one_state("gru"),
            aten.rnn_tanh.input: _of_one_state("rnn_tanh"),
            aten.rnn_relu.input: _of_one_state("rnn_relu"),
            **dict.fromkeys(
                (aten.lstm.data, aten.gru.data, aten.rnn_tanh.data, aten.rnn_relu.data), _refuse_packed
            ),
        }
    )


def _lstm(x: Tensor, states: list[Tensor], *options: Any) -> tuple[Tensor, ...]:
    return _layers("lstm", x, states, *options)


def _of_one_state(cell: str) -> Any:
    def layers(x: Tensor, state: Tensor, *options: Any) -> tuple[Tensor, ...]:
        return _layers(cell, x, [state], *options)

    return layers


def _refuse_packed(*arguments: Any) -> None:
    raise ModelError(
        "A recurrent layer is fed a packed sequence, whose length depends on the data.",
        "Feed it a padded tensor of fixed length.",
    )


def _layers(
    cell: str,
    x: Tensor,
    states: list[Tensor],
    parameters: list[Tensor],
    has_biases: bool,
    layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, ...]:
    """What aten's recurrent ops compute: all outputs, then every state, [layers * directions, batch, size]."""
    directions = 2 if bidirectional else 1
    each = len(parameters) // (layers * directions)
    if each != (4 if has_biases else 2):
        raise ModelError(
            "An LSTM with projections (proj_size) has no form in TensorFlow Lite.",
            "Use an LSTM without, and a Linear after it.",
        )
    x = x.transpose(0, 1) if batch_first else x
    finals: list[list[Tensor]] = []
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            number = layer * directions + direction
            weights = parameters[number * each : (number + 1) * each]
            last = [state[number] for state in states]
            output, *final = _direction(cell, x, last, weights, reverse=direction == 1)
            outputs.append(output)
            finals.append(final)
        x = torch.cat(outputs, -1) if bidirectional else outputs[0]
    x = x.transpose(0, 1) if batch_first else x
    return x, *(torch.stack(column) for column in zip(*finals, strict=True))


def _direction(
    cell: str, x: Tensor, states: list[Tensor], weights: list[Tensor], reverse: bool
) -> Sequence[Tensor]:
    """All outputs, [steps, batch, size], then the last states."""
    w_ih, w_hh, *biases = weights
    if len(x) > 1:
        projected = functional.linear(x, w_ih, *biases[:1])
        result: list[Tensor] = torch.ops.edgepack.recurrence(
            cell, projected, [w_hh, *biases[1:]], states, reverse
        )
        return result
    if cell == "lstm":
        state, memory = torch.lstm_cell(x[0], states, *weights)
        return state[None], state, memory
    state = getattr(torch, f"{cell}_cell")(x[0], states[0], *weights)
    return state[None], state


_register()
