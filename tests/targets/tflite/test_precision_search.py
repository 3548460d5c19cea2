"""The search on real .tflite files: what a head of mixed ranges needs, and where float has to go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from edgepack import registry, sources
from edgepack.judge import Judge, Judged, Reference
from edgepack.parity import parse_gate
from edgepack.project import load
from edgepack.records import Records, RecordWriter
from edgepack.samples import SampleSet
from edgepack.spec import Precision

SCORES = (4, 5, 6)


def detector() -> keras.Model:
    """Boxes of 0..640 (four places) beside scores of 0..1 (three), from one convolution."""
    image = x = keras.Input((32, 32, 3), name="image")
    for filters in (16, 32, 64):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(x)
    both = layers.Reshape((16, 7))(layers.Conv2D(7, 1, activation="sigmoid")(x))
    scale = np.array([640.0] * 4 + [1.0] * 3, np.float32)
    return keras.Model(image, layers.Rescaling(scale, name="detections")(both))


def records(path: Path, arrays: list[Any]) -> Records:
    writer = RecordWriter(path)
    with writer:
        for each in arrays:
            writer.write(each)
    return writer.records


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Judge the detector: ``judged("auto", "sqnr_db>=25")``."""
    folder = tmp_path_factory.mktemp("detector")
    keras.utils.set_random_seed(1)
    detector().save(folder / "detector.keras")
    info = registry.target("tflite")
    model = sources.load(load(None, {"model": {"source": str(folder / "detector.keras")}}), info)
    rng = np.random.default_rng(0)
    pictures = [
        np.kron(rng.random((1, 8, 8, 3)), np.ones((1, 4, 4, 1))).astype(np.float32) for _ in range(24)
    ]
    draw = [{"image": picture} for picture in pictures]
    samples = SampleSet(records(folder / "calibration", draw[:16]), records(folder / "held_back", draw[16:]))
    golden = records(folder / "golden", [model(inputs) for inputs in draw[16:]])
    target = registry.load_target(info)
    lowering = target.lower(model, samples.calibration, folder)
    reference = Reference(model, samples, golden)

    def run(asked: Any, gate: str, offered: tuple[Precision, ...] = info.precisions) -> Judged:
        return Judge(target, lowering, reference, parse_gate(gate), folder, offered).judge(asked, "auto")

    return run


def test_int8_passes_by_its_boxes_and_has_lost_its_scores(judged: Any) -> None:
    found = judged(Precision.INT8, "sqnr_db>=25")
    (metrics,) = found.outputs.values()
    assert found.failures == ()
    assert set(metrics.drowned) >= set(SCORES)
    assert max(metrics.places_db[place] for place in SCORES) < 20


def test_auto_keeps_the_scores_at_what_the_gate_asks(judged: Any) -> None:
    found = judged("auto", "sqnr_db>=25")
    (metrics,) = found.outputs.values()
    assert min(metrics.places_db[place] for place in SCORES) >= 25
    assert found.search.places


def test_where_only_int8_and_float_are_offered_the_head_alone_becomes_float(judged: Any) -> None:
    found = judged("auto", "sqnr_db>=25", (Precision.INT8, Precision.FLOAT32))
    (metrics,) = found.outputs.values()
    assert min(metrics.places_db[place] for place in SCORES) >= 25
    assert found.plan.default == Precision.INT8
    assert "MUL" in {op.kind for op in found.audit.float_islands}
    assert found.audit.ops_by_precision["int8"] >= 3
    assert found.runner.signature.outputs[0].dtype == "float32"
