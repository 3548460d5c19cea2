"""What of a declared wrap a PyTorch source does already; what it looks like to the other stages."""

import numpy as np
import pytest
import torch
from torch import nn

from edgepack.errors import UsageError
from edgepack.spec import Affine
from edgepack.wrap import InputWrap, OutputWrap, Wrap

PIXELS = np.random.default_rng(0).integers(0, 256, (1, 4, 6, 3)).astype(np.float32)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Shows(nn.Module):
    """Answers with every value that it was fed, after a step of its own."""

    def __init__(self, step=lambda x: x, after=lambda x: x):
        super().__init__()
        self.step, self.after = step, after

    def forward(self, image):
        return {"seen": self.after(self.step(image).flatten(1))}


def wrapped(bench, made, shape=(4, 6, 3), activation=None, **image):
    outputs = (("seen", OutputWrap(activation)),) if activation else ()
    wrap = Wrap((("image", InputWrap(kind="image", **image)),), outputs)
    return bench.adopt(made, wrap=wrap, image=(shape, "uint8"))


def seen(model, fed=PIXELS):
    return model({"image": fed})["seen"]


def normalised(x):
    return (x / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


class InPlace:
    def __call__(self, x):
        x = x.clone().float()
        return x.div_(255).sub_(torch.tensor(MEAN).view(1, 3, 1, 1)).div_(torch.tensor(STD).view(1, 3, 1, 1))


SCALES_ITSELF = {"operators": normalised, "in place": InPlace()}


@pytest.mark.parametrize("way", ["operators", "in place"])
def test_a_normalisation_of_the_source_is_not_added_twice(bench, way):
    model = wrapped(bench, Shows(SCALES_ITSELF[way]), layout="NCHW", scale=(1 / 255,), mean=MEAN, std=STD)
    wanted = ((PIXELS / 255 - MEAN) / STD).transpose(0, 3, 1, 2).reshape(1, -1)
    np.testing.assert_allclose(seen(model), wanted, atol=1e-5)
    assert any("not added twice" in note for note in model.notes)
    assert [where for _, step, where in model.processing if step.startswith("x *")] == ["source"]


def test_a_module_that_takes_channels_last_itself(bench):
    made = Shows(lambda x: (x.permute(0, 3, 1, 2) / 255).contiguous())
    model = bench.adopt(made, image=((4, 6, 3), "uint8"))
    assert model.scalings["image"].scale == pytest.approx((1 / 255,))
    wanted = wrapped(bench, made, scale=(1 / 255,))
    assert any("not added twice" in note for note in wanted.notes)


@pytest.mark.parametrize("own", [lambda x: x, lambda x: x * 2 + torch.tensor([1.0, 2, 3]).view(3, 1, 1)])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_scalings_tell_what_becomes_of_what_is_fed_channel_by_channel(bench, own, channels):
    """As the samples check needs it: in the order of what is fed, with the source's own step behind the declared one."""
    model = wrapped(
        bench, Shows(own), layout="NCHW", channels=channels, mean=(1.0, 2.0, 4.0), std=(2.0, 4.0, 8.0)
    )
    scaling = model.scalings["image"]
    told = PIXELS * np.array(scaling.scale) + np.array(scaling.offset)
    told = told[..., ::-1] if channels == "bgr" else told
    np.testing.assert_allclose(seen(model), told.transpose(0, 3, 1, 2).reshape(1, -1), rtol=1e-4, atol=1e-4)


def test_another_scaling_than_the_sources_comes_before_it_and_is_said(bench):
    model = wrapped(bench, Shows(lambda x: x * 2), scale=(1 / 255,))
    np.testing.assert_allclose(seen(model), (PIXELS / 255 * 2).reshape(1, -1), atol=1e-6)
    assert any("comes before it" in note for note in model.notes)
    assert model.scalings["image"].close_to(Affine((2 / 255,), (0.0,)))


@pytest.mark.parametrize(
    "step",
    [
        lambda x: x + torch.arange(72.0).view(1, 4, 6, 3),
        lambda x: x * x,
        lambda x: 255 / x,
        lambda x: x.mean(-1, keepdim=True) / 255,
        lambda x: torch.relu(x) / 255,
        lambda x: x / 255 + x,
        lambda x: torch.floor_divide(x, 255),
    ],
    ids=["place", "square", "reciprocal", "mean", "relu", "twice", "floor"],
)
def test_what_is_no_plain_normalisation_is_not_taken_for_one(bench, step):
    assert bench.adopt(Shows(step), image=((4, 6, 3), "uint8")).scalings == {}


def test_values_that_are_written_over_end_the_normalisation(bench):
    def step(x):
        x = x / 255
        x[..., 0] = 0
        return x * 3

    model = wrapped(bench, Shows(step), scale=(1 / 255,))
    assert model.scalings["image"].scale == pytest.approx((1 / 255,))
    wanted = PIXELS / 255 * 3
    wanted[..., 0] = 0
    np.testing.assert_allclose(seen(model), wanted.reshape(1, -1), atol=1e-6)


@pytest.mark.parametrize(
    ("after", "activation"),
    [
        (lambda x: torch.softmax(x, -1), "softmax"),
        (nn.Softmax(dim=1), "softmax"),
        (torch.sigmoid, "sigmoid"),
        (lambda x: torch.sigmoid_(x.clone()), "sigmoid"),
        (lambda x: x.sigmoid().reshape(1, 72, 1).squeeze(2).half(), "sigmoid"),
    ],
)
def test_an_activation_at_the_end_is_not_added_twice(bench, after, activation):
    model = wrapped(bench, Shows(lambda x: x / 255, after), activation=activation)
    assert any(f"already ends with {activation}" in note for note in model.notes)
    assert ("seen", activation, "source") in model.processing


@pytest.mark.parametrize("after", [lambda x: torch.sigmoid(x) * 2, lambda x: x, torch.relu])
def test_an_activation_that_is_not_at_the_end_is_added(bench, after):
    model = wrapped(bench, Shows(lambda x: x / 255, after), activation="sigmoid")
    assert ("seen", "sigmoid", "baked") in model.processing


def test_an_activation_whose_result_is_changed_in_place_is_no_end(bench):
    def after(x):
        y = torch.sigmoid(x)
        y[:, 0] = 3
        return y

    model = wrapped(bench, Shows(lambda x: x / 255, after), activation="sigmoid")
    assert ("seen", "sigmoid", "baked") in model.processing


def test_an_image_has_the_range_of_pixels_and_an_example_of_them(bench):
    model = wrapped(bench, Shows())
    assert model.signature.input("image").range == (0.0, 255.0)
    assert 100 < model.form("torch").example[0].max() <= 255
    assert bench.adopt(Shows(), image=(4, 6, 3)).signature.input("image").range is None


def test_samples_of_bytes_are_what_a_wrapped_image_takes(bench):
    model = wrapped(bench, Shows(), scale=(1 / 255,))
    np.testing.assert_allclose(seen(model, PIXELS.astype(np.uint8)), seen(model), atol=0)


def test_wrong_names_and_counts(bench):
    with pytest.raises(UsageError, match="no output 'sean'. Did you mean 'seen'"):
        bench.adopt(Shows(), image=(4, 6, 3), wrap=Wrap((), (("sean", OutputWrap("softmax")),)))
    with pytest.raises(UsageError, match="3 channels; 2 values"):
        wrapped(bench, Shows(), mean=(1.0, 2.0))
    with pytest.raises(UsageError, match="is to be an image"):
        wrapped(bench, Shows(), shape=(5,))


def test_audio_and_tensors_take_scales_too(bench):
    wrap = Wrap((("image", InputWrap(kind="audio", rate=16000, scale=(0.5,))),))
    model = bench.adopt(Shows(), image=(100,), wrap=wrap)
    np.testing.assert_allclose(model({"image": np.ones((1, 100), np.float32)})["seen"], 0.5)
