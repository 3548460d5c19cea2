"""Tensor specs, affine steps, and the shapes that --shape takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack.errors import UsageError
from edgepack.spec import Affine, Precision, Signature, TensorSpec, class_axis, format_shape, parse_shape

SIZES = st.lists(st.integers(1, 4096), min_size=1, max_size=6).map(tuple)


def test_precisions_are_written_as_users_write_them() -> None:
    assert list(Precision) == ["int8", "int8_dynamic", "int16x8", "int16", "float16", "float32"]
    assert f"{Precision.INT8_DYNAMIC}" == "int8_dynamic"


def test_an_unknown_dimension_is_a_question_mark() -> None:
    assert format_shape((1, None, 3)) == "1x?x3"
    assert str(TensorSpec("ids", (1, None), "int32")) == "ids: int32[1x?]"


def test_a_static_shape_has_no_unknown_dimension() -> None:
    assert TensorSpec("x", (1, 4), "float32").static_shape == (1, 4)
    with pytest.raises(UsageError, match=r"'x' is not fully known: 1x\?") as error:
        _ = TensorSpec("x", (1, None), "float32").static_shape
    assert "--shape x=1x?" in error.value.hint


def test_an_input_is_found_by_name() -> None:
    ids = TensorSpec("ids", (1, 8), "int32")
    signature = Signature((TensorSpec("x", (1,), "float32"), ids), ())
    assert signature.input("ids") is ids
    with pytest.raises(KeyError):
        signature.input("y")


@given(SIZES)
def test_a_shape_survives_being_written_and_read(shape: tuple[int, ...]) -> None:
    assert parse_shape(f"image={format_shape(shape)}") == ("image", shape, None)


def test_a_shape_may_name_a_type_and_a_tensor_with_odd_letters() -> None:
    assert parse_shape("ids=1x128:int32") == ("ids", (1, 128), "int32")
    assert parse_shape("serving_default_x:0=1x4") == ("serving_default_x:0", (1, 4), None)


@pytest.mark.parametrize(
    "text", ["", "x", "x=", "=1x2", "x=1xx2", "x=1x?", "x=-1", "x=1x0", "x=1x2:", "x=1,2"]
)
def test_a_wrong_shape_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="is not understood") as error:
        parse_shape(text)
    assert "image=1x224x224x3" in error.value.hint


def test_one_value_stands_for_every_channel() -> None:
    assert Affine((2.0,), (1.0,)).close_to(Affine((2.0, 2.0, 2.0), (1.0,)))
    assert not Affine((2.0,), (1.0,)).close_to(Affine((2.0, 2.0, 2.1), (1.0,)))
    assert not Affine((1.0, 1.0), (0.0,)).close_to(Affine((1.0, 1.0, 1.0), (0.0,)))


def test_the_identity_is_told_to_float32_rounding() -> None:
    assert Affine((1.00000001,), (0.0, 0.0)).is_identity
    assert not Affine((1.0,), (0.01,)).is_identity
    assert not Affine((1.01,), (0.0,)).is_identity


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((1, 10), 1),
        ((1, 100, 6), 2),
        ((1, 32, 48, 21), 3),
        ((1, 21, 32, 48), 1),
        ((1, 2, 32, 32), 1),
        ((1, 1, 32, 20), 3),  # one row of what was read
        ((1, 64, 8, 8), 3),
        ((1, 32, 32, 32), 3),
    ],
)
def test_classes_come_last_or_before_more_rows_and_columns(shape: tuple[int, ...], axis: int) -> None:
    assert class_axis(shape) == axis
