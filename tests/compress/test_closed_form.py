"""Layer by layer, and on from the layer at which it was killed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgepack.compress import closed_form, kept
from edgepack.compress.closed_form import Amount
from edgepack.events import Step

PLUGIN = Path(__file__).parents[1] / "fake_plugin"
SAMPLES = [{"x": np.random.default_rng(n).normal(size=(1, 12)).astype(np.float32)} for n in range(60)]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sys, "path", [str(PLUGIN), *sys.path])
    import fake_models

    return fake_models.Taught("x", (1, 12)).student


def shrink(student, settling=bool, first=0):  # type: ignore[no-untyped-def]
    layers = student.layers[first:]
    return closed_form.shrink(
        student, dict.fromkeys(layers, Amount(0.5, 16)), SAMPLES, Step("x"), None, settling
    )


def test_layers_are_settled_one_by_one(make) -> None:  # type: ignore[no-untyped-def]
    student, told = make(), []
    holds = shrink(student, told.append)
    assert told == [1, 2]
    for layer in student.layers:
        weight = student.weight(layer.name)
        assert (weight == 0).sum() == weight.size // 2
        assert np.array_equal(weight != 0, holds[layer.name].mask)


def test_a_killed_run_goes_on_from_the_last_layer_that_was_kept(  # type: ignore[no-untyped-def]
    make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "SECONDS", 0.0)
    whole, killed, again = make(), make(), make()
    shrink(whole)

    def settled(count: int) -> None:
        kept.Settling(killed, 2, tmp_path)(count)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shrink(killed, settled)
    settling = kept.Settling(again, 2, tmp_path)
    assert settling.first == 1
    shrink(again, settling, settling.first)
    assert [path.name for path in tmp_path.iterdir()] == ["2.settled"]
    for layer in whole.layers:
        np.testing.assert_allclose(again.weight(layer.name), whole.weight(layer.name), atol=1e-6)


def test_nothing_is_kept_before_its_time(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    settling = kept.Settling(make(), 2, tmp_path)
    settling(1)
    assert not list(tmp_path.iterdir())


def test_a_layer_of_zeros_is_held_to_its_zeros_alone() -> None:
    hold = closed_form.held(np.zeros((3, 4), np.float32), Amount(ratio=0.5, codes=16))
    assert hold.mask is not None
    assert not hold.mask.any()
    assert hold.codes is None
