"""Zeros and codes, counted in the file: int8 changes none of them, for Keras and PyTorch sources alike."""

import numpy as np
import pytest
import small_keras
import small_torch
import tensorflow as tf

from edgepack.compress import closed_form
from edgepack.compress.closed_form import Amount
from edgepack.events import Step


def keras_model(bench):
    return bench.adopt(small_keras.wide())


def graph_model(bench):
    small_keras.wide().export(bench.folder / "saved", verbose=False)
    return bench.load(bench.folder / "saved")


def torch_model(bench):
    return small_torch.wide()


def stored(artifact):
    """The weights in the file: [out, in] by size."""
    interpreter = tf.lite.Interpreter(model_path=str(artifact.main))
    interpreter.allocate_tensors()
    found = {}
    for detail in interpreter.get_tensor_details():
        if detail["dtype"] == np.int8 and len(detail["shape"]) > 1 and detail["shape"][0] != 1:
            values = interpreter.get_tensor(detail["index"])
            found[values.size] = values.reshape(len(values), -1)
    return found


@pytest.fixture(params=[keras_model, graph_model, torch_model])
def shrunk(request, bench, draw):
    """(how the student's weights are stored, by layer) of amounts for the layers behind the first."""

    def run(amount):
        model = request.param(bench)
        shape = model.signature.inputs[0].shape[1:]
        samples = draw(24, image=shape)
        student = model.student()
        chosen = student.layers[1:]
        holds = closed_form.shrink(student, dict.fromkeys(chosen, amount), samples, Step("compress"))
        student.hold(holds)
        for _ in range(3):
            student.learn(samples[:8], 1e-3)
        student.release()
        closed_form.reach(student, holds)
        artifact = bench.emit(bench.lower(student.model(), samples))
        by_size = stored(artifact)
        return [by_size[layer.shape[0] * layer.shape[1]] for layer in chosen]

    return run


def test_zeros_stay_zero(shrunk):
    for weight in shrunk(Amount(0.6)):
        assert (weight == 0).sum() >= round(0.6 * weight.size)


def test_codebooks_survive(shrunk):
    """A negative normalisation turns codes around, so a layer has theirs and those with the other sign."""
    for weight in shrunk(Amount(0, 16)):
        turned = weight * np.sign(weight[np.arange(len(weight)), np.abs(weight).argmax(1)])[:, None]
        per_channel = [len(np.unique(row)) for row in weight]
        assert max(per_channel) <= 16
        assert len(np.unique(np.abs(turned))) <= 16
        assert np.abs(weight).max(axis=1).min() == 127


def test_both_together(shrunk):
    for weight in shrunk(Amount(0.5, 16)):
        assert (weight == 0).sum() >= round(0.5 * weight.size)
        assert len(np.unique(np.abs(weight))) <= 16
