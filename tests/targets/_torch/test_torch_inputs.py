"""Names from forward, shapes and types from the first sample or --shape; and what is asked back where they do not tell."""

import numpy as np
import pytest
import torch
from torch import nn

from edgepack.errors import ModelError, UsageError
from edgepack.wrap import InputWrap, Wrap

NCHW = Wrap((("image", InputWrap(kind="image", layout="NCHW")),))


class Pool(nn.Module):
    """Takes three channels first, of any size."""

    def __init__(self, channels=3):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3)

    def forward(self, image):
        return self.conv(image).mean((2, 3))


class Pair(nn.Module):
    def forward(self, left, right, scale=None, flag: bool = False):
        return left - right if scale is None else (left - right) * scale


class Ids(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(20, 4)

    def forward(self, ids):
        return self.table(ids).sum(1)


def shapes(model):
    return {spec.name: spec.shape for spec in model.signature.inputs}


def test_a_batch_of_one_is_put_before_the_sample(bench):
    assert shapes(bench.adopt(Pool(), image=(3, 8, 6))) == {"image": (1, 3, 8, 6)}


def test_a_sample_may_carry_the_batch(bench):
    assert shapes(bench.adopt(Pool(), image=(1, 3, 8, 6))) == {"image": (1, 3, 8, 6)}


@pytest.mark.parametrize("sample", [(1, 8, 8), (8, 8), (1, 1, 8, 8)])
def test_a_first_dimension_of_one_may_be_a_channel(bench, sample):
    """PyTorch's convolutions also take an image without a batch, and would then answer without one."""
    assert shapes(bench.adopt(Pool(1), image=sample)) == {"image": (1, 1, 8, 8)}


@pytest.mark.parametrize("sample", [(20, 3), (1, 20, 3)])
def test_a_series_is_no_image(bench, sample):
    assert shapes(bench.adopt(nn.LSTM(3, 2, batch_first=True), input=sample)) == {"input": (1, 20, 3)}


@pytest.mark.parametrize("sample", [(3,), (1, 3)])
def test_a_vector(bench, sample):
    assert shapes(bench.adopt(nn.Linear(3, 2), input=sample)) == {"input": (1, 3)}


def test_one_number_a_sample(bench):
    assert shapes(bench.adopt(Pair(), left=(1,), right=(3,))) == {"left": (1, 1), "right": (1, 3)}
    assert shapes(bench.adopt(nn.Linear(1, 2), input=(1,))) == {"input": (1, 1)}


def test_shape_comes_before_the_samples(bench):
    model = bench.adopt(Pool(), image=(3, 8, 6), shapes={"image": ((2, 3, 16, 16), None)})
    assert [spec.shape for spec in (*model.signature.inputs, *model.signature.outputs)] == [
        (2, 3, 16, 16),
        (2, 4),
    ]


def test_an_array_of_another_name_goes_to_the_only_parameter(bench):
    assert shapes(bench.adopt(Pool(), photo=(3, 8, 6))) == {"image": (1, 3, 8, 6)}


def test_a_tuple_goes_to_the_parameters_in_their_order(bench):
    model = bench.adopt(Pair(), input_0=(3,), input_1=(3,))
    assert list(shapes(model)) == ["left", "right"]
    assert list(shapes(bench.adopt(Pair(), input_0=(3,), input_1=(3,), input_2=(3,)))) == [
        "left",
        "right",
        "scale",
    ]


def test_parameters_with_a_default_are_inputs_only_where_samples_name_them(bench):
    assert list(shapes(bench.adopt(Pair(), left=(3,), right=(3,), label=((), "int64")))) == ["left", "right"]
    given = bench.adopt(Pair(), left=(3,), right=(3,), scale=(3,))
    one, two, ten = (np.full((1, 3), value, np.float32) for value in (1, 2, 10))
    assert given({"left": two, "right": one, "scale": ten})["output"].tolist() == [[10, 10, 10]]


def test_a_forward_of_defaults_alone_takes_the_first(bench):
    class Optional(nn.Module):
        def forward(self, ids=None, embeddings=None):
            return ids * 2 if embeddings is None else embeddings

    assert list(shapes(bench.adopt(Optional(), array=(3,)))) == ["ids"]


def test_a_missing_array_names_the_nearest(bench):
    with pytest.raises(
        UsageError, match=r"takes 'right', for which the samples have no array.*Is it 'rigth'\?"
    ):
        bench.adopt(Pair(), left=(3,), rigth=(3,))


def test_without_samples_the_shape_is_asked_for(bench):
    with pytest.raises(UsageError, match="The shape of the input 'image' is not known") as caught:
        bench.adopt(Pool())
    assert "--shape image=1x3x224x224" in caught.value.hint
    folder = Wrap(otherwise=InputWrap(kind="image"))
    with pytest.raises(UsageError) as caught:
        bench.adopt(Pool(), wrap=folder)
    assert 'layout = "NCHW"' in caught.value.hint


def test_a_folder_of_images_for_a_module_that_takes_channels_first_asks_for_the_declaration(bench):
    with pytest.raises(UsageError, match="is to be an image") as caught:
        bench.adopt(
            Pool(), shapes={"image": ((1, 3, 8, 6), None)}, wrap=Wrap(otherwise=InputWrap(kind="image"))
        )
    assert 'layout = "NCHW"' in caught.value.hint
    model = bench.adopt(Pool(), shapes={"image": ((1, 3, 8, 6), None)}, wrap=NCHW)
    assert shapes(model) == {"image": (1, 8, 6, 3)}


@pytest.mark.parametrize("where", ["shapes", "wrap"])
def test_a_name_that_is_no_input_gets_the_nearest(bench, where):
    given = {"shapes": {"imago": ((1, 3, 8, 6), None)}, "wrap": Wrap((("imago", InputWrap()),))}[where]
    with pytest.raises(UsageError, match="no input 'imago'. Did you mean 'image'"):
        bench.adopt(Pool(), image=(3, 8, 6), **{where: given})


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_ids_are_int32_here_and_int64_inside(bench, dtype):
    model = bench.adopt(Ids(), ids=((5,), dtype))
    assert model.signature.input("ids").dtype == "int32"
    assert "The input 'ids' is int64 in the original and int32 here." in model.notes
    answer = model({"ids": np.full((1, 5), 3, np.int32)})["output"]
    np.testing.assert_allclose(answer, 5 * model.form("torch").module.network.table.weight[[3]], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "float64", "float16", "int16"])
def test_pixels_and_wide_floats_are_fed_as_float32(bench, dtype):
    model = bench.adopt(Pool(), image=((3, 8, 6), dtype))
    assert model.signature.input("image").dtype == "float32"
    assert model.notes == ()


def test_a_type_can_be_given_with_the_shape(bench):
    class Pixels(nn.Module):
        def forward(self, image):
            return (image.view(torch.int8) if image.dtype == torch.uint8 else image).float()

    given = bench.adopt(Pixels(), shapes={"image": ((1, 4), "uint8")})
    assert given.signature.input("image").dtype == "uint8"
    with pytest.raises(UsageError, match="no type 'int23'"):
        bench.adopt(Pixels(), shapes={"image": ((1, 4), "int23")})
    with pytest.raises(ModelError, match="is complex64"):
        bench.adopt(Pixels(), shapes={"image": ((1, 4), "complex64")})


def test_samples_channels_last_are_told_from_a_module_that_takes_channels_first(bench):
    with pytest.raises(ModelError, match=r"channels last \(1x8x6x3\).*computes with 1x3x8x6") as caught:
        bench.adopt(Pool(), image=((8, 6, 3), "uint8"))
    assert '[input.image] kind = "image", layout = "NCHW"' in caught.value.hint


def test_samples_channels_first_for_an_input_that_is_declared_to_be_fed_channels_last(bench):
    with pytest.raises(ModelError, match=r"channels first \(1x3x8x6\)") as caught:
        bench.adopt(Pool(), image=((3, 8, 6), "uint8"), wrap=NCHW)
    assert "transpose(1, 2, 0)" in caught.value.hint


@pytest.mark.parametrize(("sample", "channels"), [((8, 6, 3), 3), ((8, 6), 1), ((1, 8, 6, 3), 3)])
def test_declared_channels_first_is_fed_channels_last(bench, sample, channels):
    model = bench.adopt(Pool(channels), image=(sample, "uint8"), wrap=NCHW)
    assert shapes(model) == {"image": (1, 8, 6, channels)}
    assert ("image", "NHWC to NCHW", "baked") in model.processing


def test_a_tensor_can_be_fed_channels_last_too(bench):
    """Five channels are no picture, but cameras of other kinds have them."""
    wrap = Wrap((("image", InputWrap(layout="NCHW")),))
    model = bench.adopt(Pool(5), image=(8, 6, 5), wrap=wrap)
    assert shapes(model) == {"image": (1, 8, 6, 5)}


def test_an_input_that_is_only_given_by_name(bench):
    class Named(nn.Module):
        def forward(self, a, *, b):
            return a - b

    model = bench.adopt(Named(), a=(2,), b=(2,))
    fed = {"b": np.ones((1, 2), np.float32), "a": np.full((1, 2), 5, np.float32)}
    assert model(fed)["output"].tolist() == [[4, 4]]


def test_two_inputs_where_one_has_a_dimension_of_one_by_chance(bench):
    """No sample of the other carries a batch, so this one does not either."""
    model = bench.adopt(Pair(), left=(1, 4), right=(3, 4))
    assert shapes(model) == {"left": (1, 1, 4), "right": (1, 3, 4)}


@pytest.mark.parametrize("forward", ["*images", "**images", ""])
def test_a_forward_without_named_inputs_is_refused(bench, forward):
    spaces = {}
    exec(f"def forward(self, {forward}): return 0", spaces)
    made = type("Starred", (nn.Module,), {"forward": spaces["forward"]})()
    with pytest.raises(
        ModelError, match=r"The forward of Starred takes (\*images, which|no inputs)"
    ) as caught:
        bench.adopt(made, image=(3,))
    assert "names every input" in caught.value.hint
