"""Recurrent layers of Keras as PyTorch's own: one op instead of a loop that export would write out step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import torch
from keras import activations, layers

_VF: Any = torch._VF  # the kernels behind torch.nn.LSTM and the like

Run = Callable[[Any, Any, Any, bool], Any]
"""From inputs, states, weights and whether there are biases, to outputs and states."""


def fuse(model: keras.Model) -> None:
    """Have every LSTM, GRU and SimpleRNN in a Keras model on PyTorch compute as ``aten::lstm`` and the like, in place.

    Weights are read when the layer runs, so that they can still change. A layer whose options PyTorch's kernels do not
    know, and one that is given a mask, keeps its loop.
    """
    for layer in model._flatten_layers():
        run = _kernel(layer)
        if run is not None:
            layer.inner_loop = _loop(layer, run, layer.inner_loop)


def _kernel(layer: Any) -> Run | None:
    """What computes a layer; ``None`` where only its own loop does."""
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
            return _simple(_VF.rnn_tanh)
        case layers.SimpleRNN if activation is activations.relu:
            return _simple(_VF.rnn_relu)
    return None


def _lstm(x: Any, states: Any, weights: Any, biased: bool) -> Any:
    return _VF.lstm(x, tuple(states), weights, biased, 1, 0.0, False, False, True)


def _gru(x: Any, states: Any, weights: Any, biased: bool) -> Any:
    ordered = [_reset_first(each) for each in weights]
    return _VF.gru(x, states[0], ordered, biased, 1, 0.0, False, False, True)


def _simple(kernel: Any) -> Run:
    def run(x: Any, states: Any, weights: Any, biased: bool) -> Any:
        return kernel(x, states[0], weights, biased, 1, 0.0, False, False, True)

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
