"""What Keras's layers are called with, by standing in for their ``call``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import tensorflow as tf


@contextmanager
def watching(layers: Sequence[Any]) -> Iterator[dict[int, list[tuple[Any, Any]]]]:
    """Notes what layers are fed with and give, by their ``id``, in the order in which they compute."""
    seen: dict[int, list[tuple[Any, Any]]] = {}

    def note(layer: Any, inputs: Any, compute: Callable[[], Any]) -> Any:
        given = compute()
        seen.setdefault(id(layer), []).append((inputs, given))
        return given

    with calling(layers, note):
        yield seen


@contextmanager
def calling(layers: Sequence[Any], call: Callable[[Any, Any, Callable[[], Any]], Any]) -> Iterator[None]:
    """Meanwhile ``call`` is called in place of layers: with the layer, what it is fed with first, and what computes it."""

    def replacing(own: Callable[..., Any], layer: Any) -> Callable[..., Any]:
        return lambda *args, **named: call(layer, [*args, *named.values()][0], lambda: own(*args, **named))

    before = [layer.call for layer in layers]
    for layer, own in zip(layers, before, strict=True):
        object.__setattr__(layer, "call", replacing(own, layer))
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            object.__setattr__(layer, "call", own)


def input_bytes(layers: Mapping[str, Any], call: Callable[[], Any]) -> dict[str, list[int]]:
    """How large what layers are fed with is, by name, for every time that ``call`` uses them."""
    with watching(list(layers.values())) as seen:
        call()
    return {
        name: [int(tf.size(fed)) * fed.dtype.size for fed, _ in seen[id(layer)]]
        for name, layer in layers.items()
    }
