"""A detector's head, boxes of 0..640 beside scores of 0..1 in one tensor: the scores survive int8."""

import keras
import numpy as np
import pytest

from edgepack import parity
from edgepack.precision.plan import uniform_plan
from edgepack.spec import Precision
from edgepack.targets.tflite.target import target as tflite

L = keras.layers
BOX, CLASSES = 4, 6


def detector(levels=2):
    image = x = keras.Input((16, 16, 3), name="image")
    found = []
    for _ in range(levels):
        x = L.Conv2D(12, 3, strides=2, padding="same", activation="relu")(x)
        boxes = L.Rescaling(640.0)(L.Conv2D(BOX, 1, activation="sigmoid")(x))
        scores = L.Conv2D(CLASSES, 1, activation="sigmoid")(x)
        both = L.Concatenate()([boxes, scores])
        found.append(L.Reshape((-1, BOX + CLASSES))(both))
    return keras.Model(image, L.Concatenate(axis=1, name="detections")(found))


def plain_join():
    """Parts that are alike share a step well."""
    image = keras.Input((8, 8, 3), name="image")
    parts = [L.Conv2D(3, 1, activation="sigmoid")(L.Conv2D(6, 3, activation="relu")(image)) for _ in range(2)]
    return keras.Model(image, L.Concatenate(name="joined")(parts))


def emitted(bench, made, samples):
    model = bench.adopt(made)
    lowering = bench.lower(model, samples)
    plan = uniform_plan(lowering, Precision.INT8, "auto")
    return model, lowering, bench.emit(lowering, "int8", ops=plan.ops)


@pytest.mark.parametrize("levels", [1, 2])
def test_boxes_and_scores_both_survive(bench, draw, levels):
    samples = draw(24, image=(16, 16, 3))
    model, _, artifact = emitted(bench, detector(levels), samples)
    runner = tflite.open(artifact)
    for part in (slice(0, BOX), slice(BOX, None)):
        meter = parity.Meter()
        for sample in samples:
            meter.update(model(sample)["detections"][..., part], runner(sample)["detections"][..., part])
        assert meter.metrics.sqnr_db >= 25


def test_only_what_joins_is_in_float_and_says_why(bench, draw):
    _, lowering, artifact = emitted(bench, detector(), draw(24, image=(16, 16, 3)))
    audit = tflite.audit(artifact)
    islands = {op.kind for op in audit.float_islands}
    assert islands <= {"CONCATENATION", "RESHAPE", "MUL", "ADD"}
    limited = {op.name: op.limits[Precision.INT8] for op in lowering.ops if Precision.INT8 in op.limits}
    assert all("different ranges" in reason for reason in limited.values())
    assert "detections" in limited


def test_parts_that_are_alike_are_joined_as_int8(bench, draw):
    _, _, artifact = emitted(bench, plain_join(), draw(24, image=(8, 8, 3)))
    assert tflite.audit(artifact).full_int8


def test_scores_by_themselves_stay_int8(bench, draw):
    image = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(6, 3, activation="relu")(image)
    made = keras.Model(
        image,
        {
            "boxes": L.Rescaling(640.0)(L.Conv2D(4, 1, activation="sigmoid")(x)),
            "scores": L.Conv2D(5, 1, activation="sigmoid")(x),
        },
    )
    _, _, artifact = emitted(bench, made, draw(24, image=(8, 8, 3)))
    assert tflite.audit(artifact).full_int8


def test_drowned_scores_are_what_happens_otherwise(bench, draw):
    samples = draw(24, image=(16, 16, 3))
    model = bench.adopt(detector(1))
    runner = tflite.open(bench.emit(bench.lower(model, samples), "int8"))
    found = parity.measure(runner, samples, [model(sample) for sample in samples])["detections"]
    assert set(found.drowned) == set(range(BOX, BOX + CLASSES))
    assert np.isfinite(found.sqnr_db)
