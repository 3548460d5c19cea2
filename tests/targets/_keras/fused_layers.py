"""Run with Keras on PyTorch: every recurrent layer before and after it is fused. Prints one JSON document."""

import json

import keras
import numpy as np
import torch

from edgepack.targets._keras.recurrent import fuse

L = keras.layers
SERIES = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (2, 7, 3)).astype(np.float32))
STATE = torch.from_numpy(np.random.default_rng(1).normal(0, 1, (2, 4)).astype(np.float32))


def one(layer):
    series = keras.Input((7, 3))
    return keras.Model(series, layer(series)), (SERIES,)


def with_state():
    series, state = keras.Input((7, 3)), keras.Input((4,))
    return keras.Model([series, state], L.GRU(4)(series, initial_state=state)), ([SERIES, STATE],)


def masked():
    series = keras.Input((7, 3))
    late = SERIES.clone()
    late[0, 4:] = 0
    return keras.Model(series, L.LSTM(4)(L.Masking()(series))), (late,)


CASES = {
    "lstm": lambda: one(L.LSTM(4)),
    "lstm without bias": lambda: one(L.LSTM(4, use_bias=False)),
    "lstm, all steps": lambda: one(L.LSTM(4, return_sequences=True)),
    "lstm, its state too": lambda: one(L.LSTM(4, return_state=True)),
    "lstm backwards": lambda: one(L.LSTM(4, go_backwards=True, return_sequences=True)),
    "gru": lambda: one(L.GRU(4)),
    "gru backwards": lambda: one(L.GRU(4, go_backwards=True)),
    "gru of a state": with_state,
    "rnn of tanh": lambda: one(L.SimpleRNN(4)),
    "rnn of relu": lambda: one(L.SimpleRNN(4, activation="relu")),
    "both ways": lambda: one(L.Bidirectional(L.LSTM(4, return_sequences=True))),
    "both ways, summed": lambda: one(L.Bidirectional(L.GRU(4), merge_mode="sum")),
    "lstm of other gates": lambda: one(L.LSTM(4, recurrent_activation="hard_sigmoid")),
    "lstm of relu": lambda: one(L.LSTM(4, activation="relu")),
    "gru that resets before": lambda: one(L.GRU(4, reset_after=False)),
    "masked": masked,
    "convolutional": lambda: (
        keras.Sequential([keras.Input((3, 4, 4, 2)), L.ConvLSTM2D(2, 3)]),
        (torch.ones(1, 3, 4, 4, 2),),
    ),
}


def ops(model, args):
    with torch.no_grad():
        graph = torch.export.export(_Called(model), args, strict=False).graph
    names = {str(node.target) for node in graph.nodes if node.op == "call_function"}
    return sorted(name for name in ("lstm", "gru", "rnn_tanh", "rnn_relu") if f"aten.{name}.input" in names)


class _Called(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *args):
        return self.model(*args, training=False)


def randomise(model):
    """Biases are zero in a new layer, which hides their order."""
    rng = np.random.default_rng(2)
    model.set_weights([rng.normal(0, 0.4, each.shape).astype(np.float32) for each in model.get_weights()])


def main():
    found = {}
    for name, case in CASES.items():
        model, args = case()
        randomise(model)
        with torch.no_grad():
            before = keras.tree.flatten(model(*args, training=False))
            fuse(model)
            after = keras.tree.flatten(model(*args, training=False))
        worst = max(float((one - other).abs().max()) for one, other in zip(before, after, strict=True))
        found[name] = {"worst": worst, "ops": ops(model, args)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
