"""Metrics against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgepack.parity import MAX_DB, Meter, Metrics, cautions, layer_parity, measure
from edgepack.spec import Arrays

REALS = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
SIGNALS = hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=5), elements=REALS)


def compare(original: object, artifact: object) -> Metrics:
    meter = Meter()
    meter.update(np.asarray(original, np.float32), np.asarray(artifact, np.float32))
    return meter.metrics


@given(SIGNALS)
def test_an_exact_match_is_300_db(signal: np.ndarray) -> None:
    found = compare(signal, signal)
    assert (found.sqnr_db, found.max_abs) == (MAX_DB, 0.0)
    assert found.cosine == pytest.approx(1.0)
    assert found.argmax_agreement in (1.0, None)


@pytest.mark.parametrize(
    ("error", "db"), [(1.0, 0), (0.1, 20), (0.01, 40), (0.5, 20 * math.log10(2)), (10.0, -20)]
)
def test_a_relative_error_of_a_tenth_is_20_db(error: float, db: float) -> None:
    signal = np.random.default_rng(0).normal(size=(1, 1000))
    assert compare(signal, signal * (1 + error)).sqnr_db == pytest.approx(db, abs=1e-4)


def test_a_rounding_grid_has_the_noise_of_a_uniform_distribution() -> None:
    """Step d: noise power d^2/12 (Widrow & Kollar, Quantization Noise, 2008); a uniform signal in +-1 has power 1/3."""
    signal = np.random.default_rng(0).uniform(-1, 1, (1, 200_000)).astype(np.float32)
    step = 2 / 256
    expected = 10 * math.log10((1 / 3) / (step**2 / 12))
    assert compare(signal, np.rint(signal / step) * step).sqnr_db == pytest.approx(expected, abs=0.05)


@given(SIGNALS, st.integers(-20, 20), st.floats(0.0625, 1, width=32), st.integers(0, 9))
def test_metrics_but_the_difference_do_not_depend_on_the_scale(
    signal: np.ndarray, power: int, error: float, seed: int
) -> None:
    assume(np.any(signal))
    signal = signal / np.abs(signal).max()
    noisy = (signal + error * np.random.default_rng(seed).normal(size=signal.shape)).astype(np.float32)
    scale = np.float32(2.0**power)  # exact in floating point
    one, other = compare(signal, noisy), compare(signal * scale, noisy * scale)
    assert other.sqnr_db == pytest.approx(one.sqnr_db)
    assert other.cosine == pytest.approx(one.cosine)
    assert other.argmax_agreement == one.argmax_agreement
    assert other.max_abs == pytest.approx(one.max_abs * scale)


@given(st.lists(SIGNALS, min_size=1, max_size=4))
def test_samples_count_as_one_long_vector(signals: list[np.ndarray]) -> None:
    noisy = [signal + np.float32(0.5) for signal in signals]
    meter = Meter()
    for signal, other in zip(signals, noisy, strict=True):
        meter.update(signal, other)
    one = np.concatenate([signal.ravel() for signal in signals])
    other = np.concatenate([signal.ravel() for signal in noisy])
    whole = compare(one, other)
    assert meter.metrics.sqnr_db == pytest.approx(whole.sqnr_db)
    assert meter.metrics.cosine == pytest.approx(whole.cosine)
    assert meter.metrics.max_abs == whole.max_abs


def test_the_cosine_is_of_the_angle() -> None:
    assert compare([1, 0], [1, 1]).cosine == pytest.approx(math.sqrt(0.5))
    assert compare([1, 0], [0, 1]).cosine == pytest.approx(0, abs=1e-12)
    assert compare([1, 2], [-1, -2]).cosine == pytest.approx(-1)
    assert compare([1, 2], [3, 6]).cosine == pytest.approx(1)


@pytest.mark.parametrize(
    ("original", "artifact", "sqnr", "cosine"),
    [([0, 0], [0, 0], MAX_DB, 1.0), ([0, 0], [0, 1], -MAX_DB, 0.0), ([0, 1], [0, 0], 0.0, 0.0)],
    ids=["both silent", "noise where silence was", "silence where a signal was"],
)
def test_silence_has_metrics_too(original: list, artifact: list, sqnr: float, cosine: float) -> None:
    found = compare(original, artifact)
    assert (found.sqnr_db, found.cosine) == (sqnr, cosine)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("side", ["artifact", "original", "both"])
def test_values_that_are_not_finite_are_as_bad_as_can_be(bad: float, side: str) -> None:
    good, worse = np.float32([[1, 2, 3]]), np.float32([[1, bad, 3]])
    meter = Meter()
    meter.update(good, good)
    meter.update(worse if side != "artifact" else good, worse if side != "original" else good)
    meter.update(good, good)
    assert meter.metrics == Metrics(-MAX_DB, math.inf, 0.0, 0.0, finite=False)


def test_argmax_is_compared_at_every_position() -> None:
    original = [[[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]]
    artifact = [[[0.2, 0.8], [0.9, 0.1], [0.7, 0.3], [0.6, 0.4]]]
    assert compare(original, artifact).argmax_agreement == 0.75


def test_argmax_of_a_map_is_over_its_classes_wherever_these_are() -> None:
    random = np.random.default_rng(3)
    original, artifact = (random.normal(size=(1, 5, 7, 3)) for _ in range(2))
    last, second = (
        compare(*(np.moveaxis(each, -1, axis) for each in (original, artifact))) for axis in (3, 1)
    )
    assert second.argmax_agreement == last.argmax_agreement != 1
    assert second.sqnr_db == pytest.approx(last.sqnr_db)


def test_probabilities_of_a_map_sum_to_one_over_its_classes() -> None:
    pixels = np.exp(np.random.default_rng(3).normal(size=(1, 3, 6, 6)) * 9)
    shares = pixels / pixels.sum(1, keepdims=True)
    assert compare(shares, shares).probabilities


@pytest.mark.parametrize("shape", [(5,), (5, 1), (), (1, 4, 1)])
def test_without_classes_there_is_no_argmax(shape: tuple[int, ...]) -> None:
    assert compare(np.ones(shape), np.ones(shape)).argmax_agreement is None


def distribution(*best: float) -> np.ndarray:
    return np.float32([[top, *[(1 - top) / 2] * 2] for top in best])


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        (distribution(0.9, 0.8), True),
        (distribution(0.9, 0.9, 1 / 3, 1 / 3), True),
        (distribution(0.9, 1 / 3, 1 / 3), False),
        ([[0.499, 0.501, 0.0]], False),
        (distribution(0.9) * 2, False),
        ([[1.5, -0.5, 0.0]], False),
        (np.ones((1, 1)), False),
    ],
    ids=["probabilities", "half undecided", "most undecided", "a lead below 1/256", "sum 2", "negative", "one class"],
)  # fmt: skip
def test_probabilities_sum_to_one_and_most_samples_are_decided(original: object, expected: bool) -> None:
    assert compare(original, np.zeros(np.shape(original))).probabilities == expected


def test_one_sample_that_is_no_distribution_decides() -> None:
    meter = Meter()
    for each in (distribution(0.9), distribution(0.9) * 3):
        meter.update(each, each)
    assert not meter.metrics.probabilities


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"the original gives \(2,\), the artifact \(3,\)"):
        compare([1, 2], [1, 2, 3])


def test_measure_runs_every_sample_and_compares_every_output() -> None:
    inputs = [{"x": np.float32([[n]])} for n in range(1, 5)]
    golden = [{"same": x["x"], "ten_percent": x["x"]} for x in inputs]

    def run(sample: Arrays) -> Arrays:
        return {"same": sample["x"], "ten_percent": sample["x"] * 1.1, "more": sample["x"]}

    found = measure(run, inputs, golden)
    assert list(found) == ["same", "ten_percent"]
    assert found["same"].sqnr_db == MAX_DB
    assert found["ten_percent"].sqnr_db == pytest.approx(20, abs=1e-4)
    with pytest.raises(ValueError, match="zip"):
        measure(run, inputs, golden[:-1])


class Layers:
    def __init__(self, **layers: float) -> None:
        self._layers = layers

    def layers(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: inputs["x"] * gain for name, gain in self._layers.items()}


def test_layers_that_both_artifacts_have_are_compared_in_running_order() -> None:
    samples = [{"x": np.ones((1, 3))}] * 2
    found = layer_parity(Layers(a=1.0, b=1.0, c=1.0), Layers(quantize=1.0, c=1.1, a=1.0), samples)  # type: ignore[arg-type]
    assert [(layer.name, round(layer.sqnr_db, 3)) for layer in found] == [("c", 20.0), ("a", MAX_DB)]


def test_small_values_drowned_by_large_ones_are_named() -> None:
    """A detector's head: boxes up to 640 beside scores up to 1, all in one tensor with one scale."""
    rng, meter = np.random.default_rng(0), Meter()
    for _ in range(8):
        boxes = np.concatenate([rng.uniform(0, 640, (1, 9, 4)), rng.uniform(0, 1, (1, 9, 2))], axis=-1)
        meter.update(boxes, np.rint(boxes / 2.5) * 2.5)
    assert meter.metrics.drowned == (4, 5)
    (sentence,) = cautions({"head": meter.metrics})
    assert "'head'" in sentence
    assert "4, 5" in sentence


def test_values_of_one_size_are_not_called_drowned() -> None:
    rng, meter = np.random.default_rng(0), Meter()
    values = rng.normal(size=(1, 9, 6))
    meter.update(values, values + rng.normal(0, 0.2, values.shape))
    assert meter.metrics.drowned == ()
    assert cautions({"head": meter.metrics}) == []


def test_a_classifier_without_opinion_is_mentioned() -> None:
    meter = Meter()
    meter.update(np.full((1, 1000), 0.001), np.full((1, 1000), 0.001))
    (sentence,) = cautions({"p": meter.metrics})
    assert "hardly tells the classes of 'p' apart" in sentence
