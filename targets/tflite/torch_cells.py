"""Recurrent cells that ``forward`` calls step by step, as the layer that they are: one loop, where unrolled every step is ops.

A chain is cells of the same weights, each fed with the states of the one before, whose inputs do not depend on the chain:
what ``for t in range(steps): h, c = cell(x[:, t], (h, c))`` exports to.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgepack.events import warn

from .torch_errors import module_of
from .torch_steps import Steps, call, put

_aten = torch.ops.aten
_LAYERS: dict[Any, Any] = {
    _aten.lstm_cell.default: _aten.lstm.input,
    _aten.gru_cell.default: _aten.gru.input,
    _aten.rnn_tanh_cell.default: _aten.rnn_tanh.input,
    _aten.rnn_relu_cell.default: _aten.rnn_relu.input,
}
"""The arguments of a cell are (input, states, weights...); an LSTM's states are a list of two."""

MANY = 4
"""So many steps of one cell that stay unrolled are worth a warning."""


def join(exported: ExportedProgram) -> None:
    """Have one layer in the place of every chain, in place; warn of those that have to stay."""
    graph = exported.graph
    for chain in list(_chains(graph.nodes)):
        made = _before(chain)
        if made is not None and _are_last(chain):
            _hoist(chain[0], made)
            _replace(exported, chain)
    for node in list(graph.nodes):
        if node.target == _aten.stack.default:
            _unstack(exported, node)
    unrolled = Counter((node.args[3], module_of(node)) for node in graph.nodes if node.target in _LAYERS)
    for (_, module), steps in unrolled.items():
        if steps >= MANY:
            warn(
                f"The recurrent cell '{module}' is unrolled into {steps} steps, each with ops of its own, because a step's "
                "input depends on the step before, or memories on the way are read. nn.LSTM, nn.GRU and nn.RNN become "
                "one loop."
            )


def _states(cell: Node) -> Sequence[Any]:
    states: Any = cell.args[1]
    return [states] if isinstance(states, Node) else states


def _results(cell: Node) -> dict[int, list[Node]]:
    """What a cell's states are called, by their number."""
    if cell.target != _aten.lstm_cell.default:
        return {0: [cell]}
    found: dict[int, list[Node]] = {0: [], 1: []}
    for user in cell.users:
        found[user.args[1]].append(user)  # type: ignore[index]
    return found


def _chains(nodes: Iterable[Node]) -> Iterator[list[Node]]:
    """The longest chains of two cells and more, each cell in one of them."""
    chains: list[list[Node]] = []
    for node in nodes:
        if node.target in _LAYERS:
            chain = next((chain for chain in chains if _follows(node, chain[-1])), None)
            if chain is None:
                chains.append([node])
            else:
                chain.append(node)
    return (chain for chain in chains if len(chain) > 1)


def _follows(cell: Node, last: Node) -> bool:
    results = _results(last)
    return (cell.target, cell.args[2:]) == (last.target, last.args[2:]) and all(
        state in results[number] for number, state in enumerate(_states(cell))
    )


def _before(chain: Sequence[Node]) -> set[Node] | None:
    """All that goes into the inputs; nothing where the chain itself does."""
    found: set[Node] = set()
    waiting: list[Any] = [cell.args[0] for cell in chain]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += node.all_input_nodes
    return None if found & set(chain) else found


def _are_last(chain: Sequence[Node]) -> bool:
    """Whether of an LSTM's memories only the last is read outside: the layer gives no other."""
    followers = zip(chain, chain[1:], strict=False)
    return all(
        set(each.users) <= {follower} for cell, follower in followers for each in _results(cell).get(1, [])
    )


def _hoist(first: Node, nodes: set[Node]) -> None:
    """Move what the later steps are fed with in front of the first."""
    has_passed = False
    for node in list(first.graph.nodes):
        has_passed = has_passed or node is first
        if has_passed and node in nodes:
            first.prepend(node)


def _replace(exported: ExportedProgram, chain: Sequence[Node]) -> None:
    first = chain[0]
    weights = [each for each in first.args[2:] if each is not None]
    states = [call(first, _aten.unsqueeze.default, state, 0) for state in _states(first)]
    fed = states if first.target == _aten.lstm_cell.default else states[0]
    inputs = call(first, _aten.stack.default, [cell.args[0] for cell in chain])
    options = (len(weights) == 4, 1, 0.0, False, False, False)
    layer = call(first, _LAYERS[first.target], inputs, fed, weights, *options)
    outputs = call(first, operator.getitem, layer, 0)
    results = [_results(cell) for cell in chain]
    made = {
        each: call(first, _aten.select.int, outputs, 0, step)
        for step, found in enumerate(results)
        for each in found[0]
    }
    for each in results[-1].get(1, []):
        made[each] = Steps(first, call(first, operator.getitem, layer, 2)).then(_aten.select.int, 0, 0)
    for old, new in made.items():
        old.replace_all_uses_with(new)
    for cell in reversed(chain):
        for unread in [*cell.users, cell]:
            exported.graph.erase_node(unread)


def _unstack(exported: ExportedProgram, node: Node) -> None:
    """Every slice of a tensor, stacked in their order, is the tensor with its axes in another."""
    parts: Any = node.args[0]
    if parts[0].target != _aten.select.int:
        return
    source, dim = parts[0].args[:2]
    sizes = source.meta["val"].shape
    every = [(_aten.select.int, (source, dim, index)) for index in range(sizes[dim])]
    if [(part.target, part.args) for part in parts] == every:
        to: Any = node.args[1] if len(node.args) > 1 else 0
        order = [axis for axis in range(len(sizes)) if axis != dim % len(sizes)]
        order.insert(to % len(sizes), dim % len(sizes))
        put(exported, node, Steps(node, source).then(_aten.permute.default, order))
        for part in parts:
            if not part.users:
                exported.graph.erase_node(part)
