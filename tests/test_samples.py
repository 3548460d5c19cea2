"""The representative data: split 3:1 by a fixed rule, fitted to the inputs, and refused with sample and input named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack.errors import UsageError
from edgepack.events import Event, Step, Warned
from edgepack.samples import DataRequest, SampleSet, collect
from edgepack.spec import Affine, Signature, TensorSpec
from edgepack.wrap import InputWrap, Wrap

Collect = Callable[..., SampleSet]
NUMBERS = np.arange(40, dtype=np.float32)


def gather(
    folder: Path,
    shape: tuple[int, ...] = (1,),
    dtype: str = "float32",
    wrap: Wrap | None = None,
    scaling: Affine | None = None,
    caps: dict[str, int] | None = None,
    **arrays: Any,
) -> SampleSet:
    """Save the arrays and collect them for inputs of their names, all of one shape and dtype."""
    np.savez(folder / "s.npz", **arrays)
    model: Any = SimpleNamespace(
        signature=Signature(tuple(TensorSpec(name, shape, dtype) for name in arrays), ()),
        scalings={"x": scaling} if scaling else {},
    )
    request = DataRequest(str(folder / "s.npz"), **(caps or {}))
    return collect(request, model, wrap or Wrap(), folder, Step("samples"))


def numbers(part: Any) -> list[float]:
    return [float(record["x"].ravel()[0]) for record in part]


def test_every_fourth_sample_is_held_back(tmp_path: Path) -> None:
    split = gather(tmp_path, x=NUMBERS)
    assert numbers(split.held_back) == list(range(3, 40, 4))
    assert numbers(split.calibration) == [n for n in range(40) if n % 4 != 3]


@given(
    st.integers(8, 40),
    st.one_of(st.none(), st.integers(8, 50)),
    st.one_of(st.none(), st.integers(5, 50)),
    st.one_of(st.none(), st.integers(2, 50)),
)
def test_caps_shorten_each_part_and_move_nothing_across(
    tmp_path_factory: pytest.TempPathFactory,
    total: int,
    samples: int | None,
    calibration: int | None,
    held_back: int | None,
) -> None:
    caps = {"samples": samples, "calibration": calibration, "held_back": held_back}
    split = gather(tmp_path_factory.mktemp("caps"), x=NUMBERS[:total], caps=caps)  # type: ignore[arg-type]
    used = min(total, samples or total)
    spread = [index * total // used for index in range(used)]
    assert numbers(split.held_back) == spread[3::4][:held_back]
    assert numbers(split.calibration) == [n for i, n in enumerate(spread) if i % 4 != 3][:calibration]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_than_four_samples_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(UsageError, match=rf"s.npz gives {count} samples; at least 4 are needed"):
        gather(tmp_path, x=NUMBERS[:count])


@pytest.mark.parametrize(("count", "warned"), [(4, True), (19, True), (20, False)])
def test_few_samples_are_worth_a_warning(
    tmp_path: Path, events: list[Event], count: int, warned: bool
) -> None:
    gather(tmp_path, x=NUMBERS[:count])
    assert any("samples: ranges from so few" in text for text in warnings(events)) == warned


def warnings(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Warned)]


@pytest.mark.parametrize("given_shape", [(4, 6, 1), (1, 4, 6, 1), (4, 6), (1, 4, 6)])
def test_the_batch_and_a_single_channel_may_be_left_out(tmp_path: Path, given_shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=(20, *given_shape)).astype(np.float32)
    split = gather(tmp_path, (1, 4, 6, 1), x=array)
    np.testing.assert_array_equal(next(iter(split.calibration))["x"], array[0].reshape(1, 4, 6, 1))


@pytest.mark.parametrize(
    ("found", "wanted", "hint"),
    [
        ((3, 8, 6), (1, 8, 6, 3), True),
        ((8, 6, 3), (1, 3, 8, 6), True),
        ((6, 8, 3), (1, 8, 6, 3), False),
        ((5,), (1, 4), False),
    ],
    ids=["channels first", "channels last", "turned", "length"],
)
def test_a_wrong_shape_names_sample_input_and_perhaps_the_layout(
    tmp_path: Path, found: tuple[int, ...], wanted: tuple[int, ...], hint: bool
) -> None:
    with pytest.raises(UsageError, match="s.npz sample 0 has the shape .* for the input 'x'") as error:
        gather(tmp_path, wanted, x=np.zeros((8, *found), np.float32))
    assert "x".join(map(str, wanted)) in error.value.message
    assert ("the other layout" in error.value.message) == hint


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300], ids=str)
def test_values_that_are_not_finite_in_float32_name_sample_and_input(tmp_path: Path, bad: float) -> None:
    array = NUMBERS.astype(np.float64)
    array[6] = bad
    with pytest.raises(UsageError, match="s.npz sample 6 has NaN or infinite values in the input 'x'"):
        gather(tmp_path, x=array)


@pytest.mark.parametrize(
    ("array", "dtype", "message"),
    [
        (np.zeros(8), "int32", "s.npz sample 0 is float64 for the input 'x', which takes int32"),
        (np.full(8, 1 << 40), "int32", "s.npz sample 0 has values beyond int32 in the input 'x'"),
        (np.full(8, -1), "uint8", "s.npz sample 0 has values beyond uint8 in the input 'x'"),
        (np.full(8, "text"), "float32", "s.npz sample 0 is str128 for the input 'x', which takes float32"),
        (np.zeros(8, np.complex64), "float32", "s.npz sample 0 is complex64"),
    ],
    ids=["float for int", "too large", "negative", "text", "complex"],
)
def test_a_wrong_type_names_sample_and_input(
    tmp_path: Path, array: np.ndarray, dtype: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        gather(tmp_path, dtype=dtype, x=array)


@pytest.mark.parametrize(
    ("stored", "dtype"),
    [("float64", "float32"), ("int64", "float32"), ("uint8", "float32"), ("int64", "int32")],
)
def test_types_that_fit_are_converted(tmp_path: Path, stored: str, dtype: str) -> None:
    split = gather(tmp_path, dtype=dtype, x=NUMBERS.astype(stored))
    assert {record["x"].dtype.name for record in split.calibration} == {dtype}
    assert numbers(split.held_back) == list(range(3, 40, 4))


def test_pixels_stay_bytes_on_disk(tmp_path: Path) -> None:
    split = gather(
        tmp_path, (1, 8, 8, 3), x=np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    )
    assert split.calibration.path.stat().st_size == 6 * 8 * 8 * 3


def test_a_sample_of_another_type_than_the_first_is_named(workspace: Path) -> None:
    Path("gen.py").write_text("import numpy as np\ndef it():\n  for t in 'fBff': yield np.ones((1, 2), t)\n")
    model: Any = SimpleNamespace(signature=Signature((TensorSpec("x", (1, 2), "float32"),), ()), scalings={})
    with pytest.raises(UsageError, match="gen.py:it sample 1 has other types than the samples before it"):
        collect(DataRequest("gen.py:it"), model, Wrap(), workspace, Step("samples"))


def test_a_generator_that_leaves_an_input_out_is_told_which(workspace: Path) -> None:
    Path("gen.py").write_text("def it():\n  for n in range(9): yield {'x': [n], 'z': [n]}\n")
    model: Any = SimpleNamespace(
        signature=Signature(tuple(TensorSpec(name, (1,), "float32") for name in "xy"), ()), scalings={}
    )
    with pytest.raises(UsageError, match="sample 0 has no array for the input 'y'; it has x, z"):
        collect(DataRequest("gen.py:it"), model, Wrap(), workspace, Step("samples"))


def test_a_constant_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Every value of the input 'y' is 0.5 in all samples"):
        gather(tmp_path, x=NUMBERS, y=np.full(40, 0.5, np.float32))


def test_identical_samples_are_worth_a_warning(tmp_path: Path, events: list[Event]) -> None:
    gather(tmp_path, (1, 40), x=np.tile(NUMBERS, (20, 1)))
    assert any("All samples of the input 'x' are the same" in text for text in warnings(events))


def test_a_constant_id_is_only_worth_a_warning(tmp_path: Path, events: list[Event]) -> None:
    gather(tmp_path, dtype="int32", x=np.full(20, 7))
    assert any("All samples of the input 'x' are the same" in text for text in warnings(events))


RAW = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3))
TO_UNIT = Affine((1 / 255,), (0.0,))


@pytest.mark.parametrize(
    ("pixels", "scaling", "expected"),
    [
        (RAW, None, "like raw pixels, and nothing in the model scales them"),
        (RAW.astype(np.uint8), None, "like raw pixels, and nothing in the model scales them"),
        (RAW / 255, TO_UNIT, "multiplies them by 0.003922: they look scaled already"),
        (RAW / 127.5 - 1, TO_UNIT, "they look scaled already"),
        (RAW, TO_UNIT, None),
        (RAW / 255, None, None),
        (RAW - 128, None, None),
        (RAW // 128, None, None),
        (RAW / 255, Affine((2.0,), (-1.0,)), None),
    ],
    ids=["raw", "raw bytes", "scaled twice to 0..1", "scaled twice to -1..1", "right", "scaled by the user",
         "centred by the user", "a mask", "0..1 to -1..1"],
)  # fmt: skip
def test_data_that_is_scaled_twice_or_not_at_all_is_noticed(
    tmp_path: Path, events: list[Event], pixels: np.ndarray, scaling: Affine | None, expected: str | None
) -> None:
    gather(tmp_path, (1, 4, 4, 3), x=pixels, scaling=scaling)
    found = [text for text in warnings(events) if "input 'x'" in text]
    assert len(found) == (expected is not None)
    assert all(expected in text for text in found)


def test_whole_numbers_in_a_table_are_no_pixels(tmp_path: Path, events: list[Event]) -> None:
    gather(tmp_path, (1, 3), x=RAW[:, 0, 0])
    assert not warnings(events)
    gather(tmp_path, (1, 3), x=RAW[:, 0, 0], wrap=Wrap((("x", InputWrap(kind="image")),)))
    assert any("like raw pixels" in text for text in warnings(events))


def test_sound_in_whole_numbers_is_noticed(tmp_path: Path, events: list[Event]) -> None:
    wrap = Wrap((("x", InputWrap(kind="audio", rate=8000)),))
    gather(tmp_path, (1, 16), x=RAW.reshape(-1, 16)[:8] * 100, wrap=wrap)
    assert any("sound is fed as -1..1" in text for text in warnings(events))
