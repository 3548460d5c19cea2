"""``recall``: does the nearest neighbour of an embedding stay what it was?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UsageError
from ..spec import Array, Arrays
from .output import Answers, label_of, pick

BLOCK = 1024
"""How many rows of the matrix of similarities are held at once."""


class NeighbourRecall:
    """Recall@1 by cosine, in percent of samples: whether the nearest other sample has the same label (Jegou et al., 2011).

    Samples whose label no other has are left out. Without labels: whether the nearest other sample is the one that is
    nearest by the original's embeddings. All embeddings are held in memory.
    """

    def __init__(self, output: str = "") -> None:
        self._output = output
        self._found: list[Array] = []
        self._labels: list[Any] = []

    def update(self, outputs: Arrays, label: Any) -> None:
        name = pick(outputs, self._output, "recall")
        wanted = label_of(label, name)
        self._found.append(_unit(outputs[name]))
        self._labels.append(_unit(wanted) if isinstance(label, Answers) else np.asarray(wanted).tobytes())

    def value(self) -> float:
        if len(self._found) < 2:
            raise UsageError("one sample has no neighbour.", "Give more.")
        nearest = _nearest(self._found)
        if isinstance(self._labels[0], np.ndarray):
            return float(100 * np.mean(nearest == _nearest(self._labels)))
        labels, groups = np.unique(np.array(self._labels, object), return_inverse=True)
        alone = np.bincount(groups, minlength=len(labels))[groups] < 2
        if alone.all():
            raise UsageError("no two samples have the same label.", "Give several of each class.")
        return float(100 * np.mean((groups[nearest] == groups)[~alone]))


def _unit(embedding: Array) -> Array:
    flat = embedding.astype(np.float32).ravel()
    return flat / max(float(np.linalg.norm(flat)), 1e-12)


def _nearest(embeddings: list[Array]) -> Array:
    """For each of N embeddings of length 1, the index of the nearest other one, (N,)."""
    table, found = np.stack(embeddings), []
    for start in range(0, len(table), BLOCK):
        similar = table[start : start + BLOCK] @ table.T
        similar[np.arange(len(similar)), start + np.arange(len(similar))] = -np.inf
        found.append(similar.argmax(1))
    return np.concatenate(found)
