"""Records: what is written comes back, one record at a time, in the type that was asked for."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgepack.records import Field, PickedRecords, RecordWriter

DTYPES = st.sampled_from(["uint8", "int32", "int64", "float16", "float32", "float64", "bool"])


@given(st.data(), DTYPES, hnp.array_shapes(min_dims=0, max_dims=4, max_side=4), st.integers(1, 4))
def test_records_come_back_as_they_were(
    data: st.DataObject, dtype: str, shape: tuple[int, ...], count: int
) -> None:
    arrays = [data.draw(hnp.arrays(dtype, shape)) for _ in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        with RecordWriter(Path(folder, "it.records")) as writer:
            for array in arrays:
                writer.write({"a": array, "b": np.float32([1, 2])})
        found = list(writer.records)
        again = list(writer.records)
    assert len(found) == len(again) == len(writer.records) == count
    for array, record in zip(arrays, found, strict=True):
        assert record["a"].dtype == dtype
        np.testing.assert_array_equal(record["a"], array)
        np.testing.assert_array_equal(record["b"], [1, 2])


def test_pixels_stay_bytes_on_disk_and_come_out_as_floats(tmp_path: Path) -> None:
    path = tmp_path / "it.records"
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    with RecordWriter(path, {"image": "float32"}) as writer:
        writer.write({"image": pixels})
    assert path.stat().st_size == 12
    (record,) = writer.records
    assert record["image"].dtype == np.float32
    np.testing.assert_array_equal(record["image"], pixels)
    assert writer.records.stacked(1)["image"].dtype == np.uint8


def test_a_transposed_view_is_written_in_its_own_order(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    with RecordWriter(tmp_path / "it") as writer:
        writer.write({"x": array.T})
    np.testing.assert_array_equal(next(iter(writer.records))["x"], array.T)


def test_stacked_gives_the_first_records_on_a_new_axis(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "it") as writer:
        for value in range(5):
            writer.write({"x": np.full((1, 2), value, np.float32)})
    assert writer.records.stacked(3)["x"].tolist() == [[[0, 0]], [[1, 1]], [[2, 2]]]


def test_picked_records_are_those_at_their_places(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "it", {"x": "float32"}) as writer:
        for value in range(5):
            writer.write({"x": np.full(2, value, np.uint8)})
    picked = PickedRecords.of(writer.records, (1, 4))
    assert [each["x"].tolist() for each in picked] == [[1, 1], [4, 4]]
    assert (len(picked), picked[1]["x"].tolist(), picked[1]["x"].dtype) == (2, [4, 4], np.float32)
    assert (picked.stacked(2)["x"].tolist(), picked.stacked(2)["x"].dtype) == ([[1, 1], [4, 4]], np.uint8)


@pytest.mark.parametrize(
    "second",
    [
        {"x": np.zeros(3, np.float32)},
        {"x": np.zeros(2, np.float64)},
        {"y": np.zeros(2, np.float32)},
        {"x": np.zeros(2, np.float32), "y": np.zeros(1)},
    ],
    ids=["shape", "dtype", "name", "one more"],
)
def test_every_record_has_the_form_of_the_first(tmp_path: Path, second: dict[str, np.ndarray]) -> None:
    with RecordWriter(tmp_path / "it") as writer:
        writer.write({"x": np.zeros(2, np.float32)})
        with pytest.raises(ValueError, match="a record of the form"):
            writer.write(second)
    assert len(list(writer.records)) == 1


def test_a_field_knows_its_size_on_disk() -> None:
    assert Field("x", (2, 3), "float32", "uint8").bytes == 6
    assert Field("x", (), "float32", "float32").bytes == 4
    assert Field("x", (70000, 70000), "float32", "float32").bytes == 4 * 70000**2
