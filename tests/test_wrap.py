"""Declared normalisation as one affine step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack.errors import UsageError
from edgepack.spec import TensorSpec
from edgepack.wrap import InputWrap, OutputWrap, Wrap

NUMBERS = st.floats(-100, 100)
CHANNELS = st.one_of(st.tuples(NUMBERS), st.tuples(NUMBERS, NUMBERS, NUMBERS))
DEVIATIONS = st.one_of(st.tuples(st.floats(0.1, 100)), st.tuples(*[st.floats(0.1, 100)] * 3))


@given(CHANNELS, CHANNELS, CHANNELS, DEVIATIONS, st.floats(0, 255))
def test_scale_offset_mean_and_std_are_one_multiplication_and_one_addition(
    scale: tuple[float, ...], offset: tuple[float, ...], mean: tuple[float, ...], std: tuple[float, ...], x: float
) -> None:  # fmt: skip
    affine = InputWrap(scale=scale, offset=offset, mean=mean, std=std).affine
    for channel in range(len(affine.scale)):
        s, o, m, d = (values[channel % len(values)] for values in (scale, offset, mean, std))
        found = x * affine.scale[channel] + affine.offset[channel]
        assert found == pytest.approx((x * s + o - m) / d, abs=1e-6)


def test_nothing_declared_changes_nothing() -> None:
    assert InputWrap().affine.is_identity


def test_values_for_different_numbers_of_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="have 2 and 3 values"):
        _ = InputWrap(mean=(1.0, 2.0, 3.0), std=(1.0, 2.0)).affine


def test_declarations_are_found_by_name_or_stand_for_all() -> None:
    pixels = InputWrap(kind="image")
    wrap = Wrap((("x", InputWrap()),), (("y", OutputWrap("softmax")),), otherwise=pixels)
    assert wrap.input("x") == InputWrap()
    assert wrap.input("other") is pixels
    assert wrap.output("y") == OutputWrap("softmax")
    assert wrap.output("other") is None
    assert Wrap().input("x") is None


SOUND = TensorSpec("sound", (1, 16000), "float32")


def test_audio_is_one_channel_with_a_rate() -> None:
    audio = InputWrap(kind="audio", rate=16000)
    audio.check(SOUND)
    audio.check(TensorSpec("sound", (1, 16000, 1), "float32"))
    for shape, dtype in (((1, 16000, 2), "float32"), ((1, 4, 4, 1), "float32"), ((1, 16000), "int32")):
        with pytest.raises(UsageError, match="is to be audio"):
            audio.check(TensorSpec("sound", shape, dtype))


def test_a_rate_and_audio_belong_together() -> None:
    with pytest.raises(UsageError, match="has no rate"):
        InputWrap(kind="audio").check(SOUND)
    with pytest.raises(UsageError, match="has a rate but is no audio"):
        InputWrap(rate=16000).check(SOUND)
