"""The record of layers that a bundle carries: a few numbers of each, in the order that they run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.bundle import layers
from edgepack.errors import ModelError, UsageError


class Runner:
    """Gives these layers, whatever it is asked."""

    signature: Any = None

    def __init__(self, **found: Any) -> None:
        self._found = found

    def __call__(self, inputs: Any) -> dict[str, Any]:
        return {}

    def layers(self, inputs: Any) -> dict[str, Any]:
        return self._found


class Closed(Runner):
    def layers(self, inputs: Any) -> dict[str, Any]:
        raise ModelError("It gives no layers.")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "golden").mkdir()
    return tmp_path


def test_what_was_written_is_read_in_its_order(folder: Path) -> None:
    rng = np.random.default_rng(0)
    found = {"second": rng.normal(size=(1, 4, 4, 40)), "first": rng.normal(size=(1, 3)), "one": np.array(2.5)}
    layers.write(Runner(**found), {}, folder)
    read = layers.read(folder)
    assert list(read) == ["second", "first", "one"]
    assert [len(values) for values in read.values()] == [layers.GROUPS, 3, 1]
    np.testing.assert_allclose(read["first"], found["first"][0], rtol=1e-5)
    np.testing.assert_allclose(read["second"].mean(), found["second"].mean(), atol=0.02)


def test_one_changed_channel_shows(folder: Path) -> None:
    values = np.ones((1, 8, 8, 64))
    layers.write(Runner(x=values), {}, folder)
    before = layers.read(folder)["x"]
    values[..., 17] += 0.1
    assert np.abs(layers.summary(Runner(x=values), {})["x"] - before).max() > 0.02


def test_what_is_not_finite_or_empty_is_left_out(folder: Path) -> None:
    layers.write(Runner(nan=np.array([[np.nan]]), empty=np.zeros((1, 0)), fine=np.ones((1, 2))), {}, folder)
    assert list(layers.read(folder)) == ["fine"]


def test_a_runtime_without_layers_leaves_no_record(folder: Path) -> None:
    layers.write(Closed(), {}, folder)
    assert not (folder / layers.NAME).exists()
    assert layers.read(folder) == {}


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a": 1}', '{"a": ["x"]}', '{"a": [[1]]}', "[" * 100_000, "\xff"]
)
def test_what_is_no_record_is_refused(folder: Path, text: str) -> None:
    (folder / layers.NAME).write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match="golden/layers.json cannot be read"):
        layers.read(folder)


def test_numbers_alone_are_kept(folder: Path) -> None:
    (folder / layers.NAME).write_text(json.dumps({"a": [1, 2.5]}))
    assert layers.read(folder)["a"].tolist() == [1.0, 2.5]
