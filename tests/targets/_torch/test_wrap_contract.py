"""One declared wrap gives the same numbers in both frameworks: the same small net, the same weights, fed the same pixels."""

import keras
import numpy as np
import pytest
import torch
from torch import nn

from edgepack.model import LoadRequest
from edgepack.spec import TensorSpec
from edgepack.targets._tf import framework as tf_framework
from edgepack.targets._torch import framework as torch_framework
from edgepack.wrap import InputWrap, OutputWrap, Wrap

L = keras.layers
RNG = np.random.default_rng(3)
KERNEL = RNG.normal(0, 0.2, (3, 3, 3, 5)).astype(np.float32)  # height, width, in, out
WEIGHT = RNG.normal(0, 0.5, (5, 4)).astype(np.float32)
PIXELS = RNG.integers(0, 256, (1, 8, 10, 3)).astype(np.float32)
MEAN, STD = (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)

WRAPS = {
    "nothing declared but the image": InputWrap(kind="image"),
    "scale and offset": InputWrap(kind="image", scale=(1 / 127.5,), offset=(-1.0,)),
    "mean and std": InputWrap(kind="image", mean=MEAN, std=STD),
    "scale before mean and std": InputWrap(
        kind="image", scale=(1 / 255,), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
    "blue, green, red": InputWrap(kind="image", channels="bgr", mean=(103.939, 116.779, 123.68)),
    "channels first": InputWrap(kind="image", layout="NCHW", mean=MEAN, std=STD),
    "all of it": InputWrap(kind="image", layout="NCHW", channels="bgr", scale=(0.5,), offset=(1.0,), mean=MEAN, std=STD),
}  # fmt: skip


def keras_net(first, own_scale=None, activation=None):
    image = keras.Input((3, 8, 10) if first else (8, 10, 3), name="image")
    x = L.Rescaling(own_scale)(image) if own_scale else image
    x = L.Permute((2, 3, 1))(x) if first else x
    x = L.Conv2D(5, 3, use_bias=False, activation="relu", name="conv")(x)
    x = L.GlobalAveragePooling2D()(x)
    model = keras.Model(image, L.Dense(4, use_bias=False, activation=activation, name="classes")(x))
    model.get_layer("conv").set_weights([KERNEL])
    model.get_layer("classes").set_weights([WEIGHT])
    return model


class TorchNet(nn.Module):
    def __init__(self, first, own_scale=None, activation=None):
        super().__init__()
        self.first, self.own_scale = first, own_scale
        self.activation = {"softmax": nn.Softmax(-1), "sigmoid": nn.Sigmoid(), None: nn.Identity()}[
            activation
        ]
        self.conv, self.dense = nn.Conv2d(3, 5, 3, bias=False), nn.Linear(5, 4, bias=False)
        self.load_state_dict(
            {
                "conv.weight": torch.tensor(KERNEL.transpose(3, 2, 0, 1).copy()),
                "dense.weight": torch.tensor(WEIGHT.T.copy()),
            }
        )

    def forward(self, image):
        x = image * self.own_scale if self.own_scale else image
        x = x if self.first else x.permute(0, 3, 1, 2)
        return {"classes": self.activation(self.dense(torch.relu(self.conv(x)).mean((2, 3))))}


def both(wrap, **net):
    image = wrap.input("image")
    first = image is not None and image.layout == "NCHW"
    request = LoadRequest("model", wrap=wrap, sample_specs=(TensorSpec("image", PIXELS.shape[1:], "uint8"),))
    return (
        tf_framework.adopt(keras_net(first, **net), request),
        torch_framework.adopt(TorchNet(first, **net), request),
    )


def agree(one, other):
    assert one.signature == other.signature
    assert one.processing == other.processing
    assert one.notes == other.notes
    for name, affine in one.scalings.items():
        assert affine.close_to(other.scalings[name])
    answers = [model({"image": PIXELS})["classes"] for model in (one, other)]
    assert np.ptp(answers[0]) > 0.01
    np.testing.assert_allclose(*answers, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("declared", WRAPS)
def test_an_input(declared):
    agree(*both(Wrap((("image", WRAPS[declared]),))))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_an_activation(activation):
    image = ("image", WRAPS["scale and offset"])
    agree(*both(Wrap((image,), (("classes", OutputWrap(activation)),))))


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_what_the_source_does_already(layout):
    image = InputWrap(kind="image", layout=layout, scale=(1 / 255,))
    wrap = Wrap((("image", image),), (("classes", OutputWrap("softmax")),))
    models = both(wrap, own_scale=1 / 255, activation="softmax")
    assert sum("not added twice" in note for note in models[1].notes) == 2
    for model in models:
        assert ("image", "x * 0.00392157", "source") in model.processing


def test_another_scaling_before_the_sources():
    agree(*both(Wrap((("image", WRAPS["scale and offset"]),)), own_scale=2.0))
