"""What probabilities come of, in their place: where a class is certain, errors show only there."""

import keras
import numpy as np
import pytest

from edgepack.targets.tflite.improve import _open as opened
from edgepack.targets.tflite.logits import with_logits

L = keras.layers


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_softmax_is_left_out(bench, draw, small_cnn, precision):
    samples = draw(16, image=(8, 8, 3))
    data = bench.emit(bench.lower(small_cnn, samples), precision).main.read_bytes()
    logits = opened(with_logits(data))(samples[0])["classes"].ravel()
    exponents = np.exp(logits - logits.max())
    np.testing.assert_allclose(
        exponents / exponents.sum(), opened(data)(samples[0])["classes"].ravel(), atol=0.01
    )


def test_other_outputs_stay(bench, draw):
    image = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(4, 3, activation="relu")(image)
    made = keras.Model(image, {"mask": L.Conv2D(2, 1)(x), "edge": L.Conv2D(1, 1, activation="sigmoid")(x)})
    samples = draw(16, image=(8, 8, 3))
    data = bench.emit(bench.lower(made, samples), "float32").main.read_bytes()
    plain, changed = opened(data)(samples[0]), opened(with_logits(data))(samples[0])
    np.testing.assert_array_equal(changed["mask"], plain["mask"])
    np.testing.assert_allclose(1 / (1 + np.exp(-changed["edge"])), plain["edge"], atol=1e-5)
