"""A .tflite whose layers are outputs: the same model, to be read on any runtime."""

import numpy as np
import pytest

from edgepack.targets.tflite.target import target as tflite


@pytest.fixture(params=["int8", "int16x8", "int8_dynamic", "float32"])
def both(request, bench, draw, small_cnn, tmp_path):
    """The artifact, the same with its layers, and samples."""
    samples = draw(image=(8, 8, 3))
    artifact = bench.emit(bench.lower(small_cnn, samples), request.param)
    out = tmp_path / "traced"
    out.mkdir()
    return artifact, tflite.traced(artifact, out), samples


def test_its_own_outputs_are_what_they_were(both):
    artifact, traced, samples = both
    plain, open_ended = tflite.open(artifact), tflite.open(traced)
    for sample in samples[:3]:
        np.testing.assert_array_equal(open_ended(sample)["classes"], plain(sample)["classes"])


def test_every_op_is_an_output_in_the_order_it_runs(both):
    _, traced, samples = both
    names = [spec.name for spec in tflite.open(traced).signature.outputs]
    ops = [op.name for op in tflite.audit(traced).ops if op.name in names]
    assert names == ops
    assert names[-1] == "classes"
    assert len(names) >= 4
    answers = tflite.open(traced)(samples[0])
    assert set(answers) == set(names)
    assert all(np.isfinite(values).all() for values in answers.values())


def test_its_layers_are_those_of_the_runner(both):
    artifact, traced, samples = both
    layers, answers = tflite.open(artifact).layers(samples[0]), tflite.open(traced, "reference")(samples[0])
    assert set(layers) <= set(answers)
    for name, values in layers.items():
        spread = np.ptp(values) or 1.0
        assert np.abs(answers[name] - values).max() <= 0.02 * spread  # other kernels round otherwise


def test_the_artifact_may_be_written_over(both):
    artifact, traced, _ = both
    assert tflite.traced(artifact, artifact.folder).main.read_bytes() == traced.main.read_bytes()


def test_a_loop_stays_closed(bench, draw):
    import keras

    series = keras.Input((6, 4), name="series")
    made = keras.Model(series, keras.layers.Dense(2, name="value")(keras.layers.LSTM(5)(series)))
    samples = draw(series=(6, 4))
    artifact = bench.emit(bench.lower(made, samples), "int8_dynamic")
    traced = tflite.open(tflite.traced(artifact, artifact.folder))
    assert np.isfinite(traced(samples[0])["value"]).all()
