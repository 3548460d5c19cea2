"""Recurrent layers of Keras as PyTorch's own: one op instead of a loop that export would write out step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import torch
from keras import activations, layers


def fuse(model: torch.nn.Module) -> None:
    """Have every LSTM, GRU and SimpleRNN in a Keras model, under Keras's torch backend, compute as torch's ``aten::lstm``
    and the like, in place.

    Weights are read when the layer runs, so that they can still change. A layer whose options PyTorch's kernels do not
    know, and one that is given a mask, keeps its loop.
    """
    for layer in model.modules():
        run = _kernel(layer)
        if run is not None:
            layer.inner_loop = _loop(layer, run, layer.inner_loop)


Run = Callable[[torch.Tensor, list[torch.Tensor], list[torch.Tensor], bool], tuple[torch.Tensor, ...]]


def _kernel(layer: Any) -> Run | None:
    """What computes a layer: inputs, states, weights and whether there are biases; to outputs and states."""
    if not isinstance(layer, layers.RNN) or layer.stateful:
        return None
    cell = layer.cell
    activation = getattr(cell, "activation", None)
    gates_fit = getattr(cell, "recurrent_activation", None) is activations.sigmoid
    match type(layer):
        case layers.LSTM if gates_fit and activation is activations.tanh:
            return _lstm
        case layers.GRU if gates_fit and activation is activations.tanh and cell.reset_after:
            return _gru
        case layers.SimpleRNN if activation is activations.tanh:
            return _simple(torch._VF.rnn_tanh)  # type: ignore[attr-defined]
        case layers.SimpleRNN if activation is activations.relu:
            return _simple(torch._VF.rnn_relu)  # type: ignore[attr-defined]
    return None


def _lstm(x: Any, states: Any, weights: Any, biased: bool) -> tuple[torch.Tensor, ...]:
    return torch._VF.lstm(x, tuple(states), weights, biased, 1, 0.0, False, False, True)  # type: ignore[attr-defined, no-any-return]


def _gru(x: Any, states: Any, weights: Any, biased: bool) -> tuple[torch.Tensor, ...]:
    ordered = [_reset_first(each) for each in weights]
    return torch._VF.gru(x, states[0], ordered, biased, 1, 0.0, False, False, True)  # type: ignore[attr-defined, no-any-return]


def _simple(kernel: Any) -> Run:
    def run(x: Any, states: Any, weights: Any, biased: bool) -> tuple[torch.Tensor, ...]:
        return kernel(x, states[0], weights, biased, 1, 0.0, False, False, True)  # type: ignore[no-any-return]

    return run


def _reset_first(stacked: torch.Tensor) -> torch.Tensor:
    """Keras stacks a GRU's gates as update, reset, new; PyTorch as reset, update, new."""
    size = stacked.shape[0] // 3
    return torch.cat([stacked[size : 2 * size], stacked[:size], stacked[2 * size :]])


def _loop(layer: Any, run: Run, original: Callable[..., Any]) -> Callable[..., Any]:
    """In the place of a layer's ``inner_loop``: the last output, all outputs, the states."""

    def loop(sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        if training or any(each is not None for each in keras.tree.flatten(mask)):
            return original(sequences, initial_state, mask, training=training)
        weights = _weights(layer.cell)
        states = keras.tree.flatten(initial_state)
        states = [keras.ops.convert_to_tensor(each).to(weights[0].dtype)[None] for each in states]
        inputs = keras.ops.convert_to_tensor(sequences).to(weights[0].dtype)
        inputs = torch.flip(inputs, [1]) if layer.go_backwards else inputs
        outputs, *final = run(inputs, states, weights, layer.cell.use_bias)
        last = outputs[:, -1]
        return last, outputs if layer.return_sequences else last[:, None], [each[0] for each in final]

    return loop


def _weights(cell: Any) -> list[torch.Tensor]:
    """Of the inputs, of the state, and both biases, of which only a GRU has the second."""
    kernels = (cell.kernel, cell.recurrent_kernel)
    found = [keras.ops.convert_to_tensor(each).t() for each in kernels]
    if not cell.use_bias:
        return found
    bias = keras.ops.convert_to_tensor(cell.bias)
    return [*found, *(bias if bias.dim() == 2 else (bias, torch.zeros_like(bias)))]
