"""A recurrent layer's op, as recurrence.py leaves it in the file, as a WHILE over its steps.

The loop carries the number of the step, the projected inputs [steps, batch, gates * size], the output of every step
[steps, batch, size], and the states [batch, size]. Gates are in PyTorch's order, see torch.nn.LSTM and torch.nn.GRU.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ai_edge_litert.tools import flatbuffer_utils

from .flatbuffer import write
from .subgraph import Subgraph

CUSTOM_CODE = "edgepack.recurrence"


def unfold(data: bytes) -> bytes:
    """The file with every recurrent op as a loop; the same bytes where there is none."""
    if CUSTOM_CODE.encode() not in data:
        return data
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(data))
    custom = [code.customCode for code in model.operatorCodes].index(CUSTOM_CODE.encode())
    operators = []
    for operator in model.subgraphs[0].operators:
        operators += _loop(model, operator) if operator.opcodeIndex == custom else [operator]
    model.subgraphs[0].operators = operators
    _forget_unread(model.subgraphs[0])
    del model.operatorCodes[custom]
    for graph in model.subgraphs:
        for operator in graph.operators:
            operator.opcodeIndex -= operator.opcodeIndex > custom
    return write(model)


def _forget_unread(graph: Any) -> None:
    """Let go of the data of tensors that no op reads any more: the quantizer wants all who share it to agree."""
    read = {int(index) for operator in graph.operators for index in operator.inputs} | set(graph.outputs)
    for index, tensor in enumerate(graph.tensors):
        if index not in read:
            tensor.buffer = 0


@dataclass(frozen=True)
class _Recurrence:
    """What a loop computes.

    Attributes:
        weights: the buffers of the matrix of the states, [gates * size, size], and of its bias, if it has one.
    """

    cell: str
    weights: tuple[int, ...]
    reverse: bool
    steps: int
    batch: int
    width: int
    size: int

    @property
    def carried(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of what goes round, the step's number aside."""
        state = (self.batch, self.size)
        states = (state, state) if self.cell == "lstm" else (state,)
        return (self.steps, self.batch, self.width), (self.steps, self.batch, self.size), *states


def _loop(model: Any, operator: Any) -> list[Any]:
    """The ops of the main graph in the place of a recurrent one."""
    options = json.loads(bytes(operator.customOptions))
    label = options["module"]
    main = Subgraph(model, 0, label)
    projected, *rest = (int(index) for index in operator.inputs)
    weights, states = rest[: options["weights"]], rest[options["weights"] :]
    steps, batch, width = main.shape(projected)
    buffers = tuple(main.buffer(index) for index in weights)
    size = main.shape(states[0])[-1]
    recurrence = _Recurrence(options["cell"], buffers, options["reverse"], steps, batch, width, size)
    start = main.constant("start", steps - 1 if recurrence.reverse else 0)
    dims, zero = main.constant("dims", (steps, batch, size)), main.constant("zero", 0, "float32")
    empty = main.apply("FILL", [dims, zero], "empty", (steps, batch, size))
    after = [main.tensor("loop", (), "int32"), main.tensor("projected", (steps, batch, width))]
    main.call(
        "WHILE",
        [start, projected, empty, *states],
        [*after, *operator.outputs],
        condSubgraphIndex=_condition(model, recurrence, label),
        bodySubgraphIndex=_body(model, recurrence, label),
    )
    return main.operators


def _open(model: Any, recurrence: _Recurrence, name: str) -> tuple[Subgraph, list[int]]:
    """A new subgraph, its name unique, and what the loop hands it."""
    graph = Subgraph.new(model, f"{name}_{len(model.subgraphs)}")
    floats = [graph.tensor(f"carried_{i}", shape) for i, shape in enumerate(recurrence.carried)]
    return graph, [graph.tensor("at", (), "int32"), *floats]


def _condition(model: Any, recurrence: _Recurrence, label: str) -> int:
    graph, carried = _open(model, recurrence, f"{label}/more")
    kind, bound = ("GREATER_EQUAL", 0) if recurrence.reverse else ("LESS", recurrence.steps)
    more = graph.apply(kind, [carried[0], graph.constant("bound", bound)], "more", (), "bool")
    graph.close(carried, [more])
    return graph.index


def _body(model: Any, recurrence: _Recurrence, label: str) -> int:
    graph, carried = _open(model, recurrence, f"{label}/step")
    at, projected, outputs, *states = carried
    batch, width, size = recurrence.batch, recurrence.width, recurrence.size
    matrix = graph.tensor("weight", (width, size), buffer=recurrence.weights[0])
    bias = [graph.tensor("bias", (width,), buffer=buffer) for buffer in recurrence.weights[1:]]
    own = graph.apply("FULLY_CONNECTED", [states[0], matrix, *bias], "recurrent", (batch, width))
    given = graph.apply("GATHER", [projected, at], "input", (batch, width))
    states = _CELLS[recurrence.cell](_Cell(graph, batch, size), given, own, states)
    row_shape, zero = graph.constant("row_shape", (1, batch, size)), graph.constant("zero", 0)
    row = graph.apply("RESHAPE", [states[0], row_shape], "row", (1, batch, size))
    where = graph.apply("PACK", [at, zero, zero], "where", (3,), "int32", valuesCount=3)
    outputs = graph.apply("DYNAMIC_UPDATE_SLICE", [outputs, row, where], "outputs", recurrence.carried[1])
    stride = graph.constant("stride", -1 if recurrence.reverse else 1)
    graph.close(carried, [graph.apply("ADD", [at, stride], "next", (), "int32"), projected, outputs, *states])
    return graph.index


class _Cell:
    """Arithmetic on [batch, size] tensors."""

    def __init__(self, graph: Subgraph, batch: int, size: int) -> None:
        self._graph, self._batch, self._size = graph, batch, size

    def __call__(self, kind: str, name: str, *inputs: int) -> int:
        return self._graph.apply(kind, inputs, name, (self._batch, self._size))

    def sum(self, name: str, *inputs: int) -> int:
        """Of two tensors of any one shape."""
        return self._graph.apply("ADD", inputs, name, self._graph.shape(inputs[0]))

    def split(self, name: str, gates: int, count: int) -> list[int]:
        parts = [self._graph.tensor(f"{name}_{i}", (self._batch, self._size)) for i in range(count)]
        axis = self._graph.constant(f"{name}_axis", 1)
        self._graph.call("SPLIT", [axis, gates], parts, numSplits=count)
        return parts


def _lstm(cell: _Cell, given: int, own: int, states: list[int]) -> list[int]:
    i, f, g, o = cell.split("gate", cell.sum("gates", given, own), 4)
    kept = cell("MUL", "kept", cell("LOGISTIC", "forget", f), states[1])
    added = cell("MUL", "added", cell("LOGISTIC", "admit", i), cell("TANH", "new", g))
    memory = cell.sum("memory", kept, added)
    return [cell("MUL", "state", cell("LOGISTIC", "show", o), cell("TANH", "bounded", memory)), memory]


def _gru(cell: _Cell, given: int, own: int, states: list[int]) -> list[int]:
    given_r, given_z, given_n = cell.split("given", given, 3)
    own_r, own_z, own_n = cell.split("own", own, 3)
    reset = cell("LOGISTIC", "reset", cell.sum("reset_gate", given_r, own_r))
    update = cell("LOGISTIC", "update", cell.sum("update_gate", given_z, own_z))
    new = cell("TANH", "new", cell.sum("new_gate", given_n, cell("MUL", "reset_own", reset, own_n)))
    change = cell("MUL", "change", update, cell("SUB", "difference", states[0], new))
    return [cell.sum("state", new, change)]


def _elman(activation: str) -> Callable[[_Cell, int, int, list[int]], list[int]]:
    def step(cell: _Cell, given: int, own: int, states: list[int]) -> list[int]:
        return [cell(activation, "state", cell.sum("gates", given, own))]

    return step


_CELLS: dict[str, Callable[[_Cell, int, int, list[int]], list[int]]] = {
    "lstm": _lstm,
    "gru": _gru,
    "rnn_tanh": _elman("TANH"),
    "rnn_relu": _elman("RELU"),
}
