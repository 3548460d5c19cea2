"""Samples from .npz and .npy files, and from generators: streamed, spread, and refused with the sample's name."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack.errors import EdgepackError, ModelError, UsageError
from edgepack.readers import peek, read_samples
from edgepack.spec import TensorSpec
from edgepack.wrap import Wrap

X = (TensorSpec("x", (1, 2), "float32"),)
XY = (TensorSpec("x", (1, 2), "float32"), TensorSpec("y", (1,), "int32"))
ROWS = np.arange(20, dtype=np.float32).reshape(10, 2)


def read(source: object, inputs: tuple[TensorSpec, ...] = X, limit: int | None = None) -> list:
    return list(read_samples(str(source), inputs, Wrap(), limit))


def values(source: object, inputs: tuple[TensorSpec, ...] = X, limit: int | None = None) -> list:
    return [[array.tolist() for array in arrays.values()] for _, arrays in read(source, inputs, limit)]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_gives_one_sample_a_row(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "s.npz", y=np.arange(10, dtype=np.int32), x=ROWS)
    found = read(tmp_path / "s.npz", XY)
    assert [label for label, _ in found] == [f"s.npz sample {number}" for number in range(10)]
    assert all(list(arrays) == ["x", "y"] for _, arrays in found)
    np.testing.assert_array_equal([arrays["x"] for _, arrays in found], ROWS)
    assert [int(arrays["y"]) for _, arrays in found] == list(range(10))


def test_rows_come_one_by_one(tmp_path: Path) -> None:
    """The reader is asked for two rows of 8 MB each, in a process of ordinary memory; the file claims 80 TB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (10**7, 2 * 10**6)}
    )
    row = np.ones(2 * 10**6, np.float32).tobytes()
    (tmp_path / "s.npy").write_bytes(header.getvalue() + row * 2)
    stream = read_samples(str(tmp_path / "s.npy"), X, Wrap(), None)
    assert next(stream)[1]["x"].shape == (2 * 10**6,)
    assert next(stream)[0] == "s.npy sample 1"


@pytest.mark.parametrize("dtype", ["float64", ">f4", ">i2", "uint8", "bool"])
def test_every_byte_order_and_type_is_read_as_it_is(tmp_path: Path, dtype: str) -> None:
    array = np.array([[0, 1], [1, 0], [1, 1]], dtype)
    np.savez(tmp_path / "s.npz", x=array)
    found = [arrays["x"] for _, arrays in read(tmp_path / "s.npz")]
    assert found[0].dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(("limit", "rows"), [(1, [0]), (3, [0, 3, 6]), (5, [0, 2, 4, 6, 8]), (99, range(10))])
def test_a_limit_is_spread_over_the_file(
    tmp_path: Path, save: Callable[..., None], limit: int, rows: list[int]
) -> None:
    save(tmp_path / "s.npz", x=ROWS)
    assert values(tmp_path / "s.npz", limit=limit) == [[ROWS[row].tolist()] for row in rows]


def test_npy_is_for_a_single_input(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", ROWS)
    assert [list(arrays) for _, arrays in read(tmp_path / "s.npy")] == [["x"]] * 10
    assert values(tmp_path / "s.npy") == [[row.tolist()] for row in ROWS]


def test_the_only_array_fits_the_only_input_whatever_its_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", images=ROWS)
    assert list(read(tmp_path / "s.npz")[0][1]) == ["x"]


def test_a_missing_array_is_named_beside_those_there_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=ROWS, z=ROWS)
    with pytest.raises(UsageError, match="no array 'y'; it has x, z") as error:
        read(tmp_path / "s.npz", XY)
    assert "np.savez(path, x=..., y=...)" in error.value.hint


def npz(folder: Path, **arrays: object) -> Path:
    np.savez(folder / "s.npz", **arrays)  # type: ignore[arg-type]
    return folder / "s.npz"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.array([{}, {}], object)}, r"s.npz\[x\] holds Python objects"),
        ({"x": np.asfortranarray(ROWS)}, r"s.npz\[x\] is in Fortran order"),
        ({"x": np.float32(3)}, r"s.npz\[x\] is a single number"),
        ({}, "has no array 'x'; it has none"),
    ],
    ids=["pickles", "Fortran order", "a number", "empty"],
)
def test_arrays_that_cannot_be_streamed_are_refused(tmp_path: Path, arrays: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(npz(tmp_path, **arrays))


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "sprung",)

    with pytest.raises(UsageError, match="holds Python objects"):
        read(npz(tmp_path, x=np.array([Trap()], object)))
    assert not (tmp_path / "sprung").exists()


def test_all_arrays_count_the_same_samples(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="different numbers of samples: x 10, y 9"):
        read(npz(tmp_path, x=ROWS, y=np.arange(9)), XY)


@pytest.mark.parametrize("name", ["s.npz", "s.npy"])
def test_other_bytes_under_the_name_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"GIF89a, say")
    with pytest.raises(UsageError, match="is not a"):
        read(tmp_path / name)


def test_a_file_that_ends_early_names_the_sample(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", ROWS)
    (tmp_path / "s.npy").write_bytes((tmp_path / "s.npy").read_bytes()[:-12])
    with pytest.raises(UsageError, match="s.npy ends in the middle of sample 8"):
        read(tmp_path / "s.npy")
    assert len(values(tmp_path / "s.npy", limit=2)) == 2  # rows 0 and 5 are there


NOISE = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)


@given(st.booleans(), st.sampled_from([None, 2]), st.data())
def test_a_damaged_npz_gives_samples_or_a_usage_error(
    tmp_path_factory: pytest.TempPathFactory, compressed: bool, limit: int | None, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "s.npz"
    (np.savez_compressed if compressed else np.savez)(path, x=NOISE)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) - 1, 300]))])
    found, problem = [], ""
    try:
        found = read(path, limit=limit)
    except UsageError as error:
        problem = error.message
    assert "s.npz" in problem or len(found) == (limit or 60)


def test_damage_in_compressed_data_names_the_sample(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "s.npz", x=np.tile(NOISE, (200, 1)) + np.arange(12000)[:, None])
    content = bytearray((tmp_path / "s.npz").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 1000] = b"\xff" * 1000
    (tmp_path / "s.npz").write_bytes(content)
    for limit in (None, 3):  # read row by row, and skipped over
        with pytest.raises(UsageError, match=r"s.npz\[x\] is damaged at sample \d+"):
            read(tmp_path / "s.npz", limit=limit)


@pytest.mark.parametrize("name", ["nowhere.npz", "nowhere/", "x.csv"])
def test_what_is_no_source_of_samples_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.csv").write_text("1,2")
    with pytest.raises(UsageError) as error:
        read(tmp_path / name)
    assert name.rstrip("/") in error.value.message
    assert "file.py:generator" in error.value.hint


def test_a_generator_may_yield_a_dict_a_tuple_or_an_array(workspace: Path) -> None:
    Path("kinds.py").write_text(
        "def dicts(): yield from ({'y': n, 'x': [n, n]} for n in range(3))\n"
        "def tuples(): yield from (([n, n], n) for n in range(3))\n"
        "def arrays(): return [[[1, 2]], [[3, 4]]]\n"
    )
    for name in ("dicts", "tuples"):
        assert values(f"kinds.py:{name}", XY, 2) in ([[[0, 0], 0], [[1, 1], 1]], [[0, [0, 0]], [1, [1, 1]]])
        assert read(f"kinds.py:{name}", XY)[2][1]["y"] == 2
    label, sample = read("kinds.py:arrays")[1]
    assert label == "kinds.py:arrays sample 1"
    assert sample["x"].tolist() == [3, 4]


def test_a_generator_is_not_asked_for_more_than_the_limit(workspace: Path) -> None:
    Path("endless.py").write_text("def forever():\n  n = 0\n  while True:\n    yield {'x': n}\n    n += 1\n")
    assert values("endless.py:forever", limit=3) == [[0], [1], [2]]


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("yield 1; raise ValueError('no such file')", ModelError, "Sample 1 of bad.py:it raised ValueError: no such"),
        ("return 3", ModelError, "bad.py:it raised TypeError"),
        ("yield (1, 2, 3)", UsageError, "bad.py:it yields 3 arrays; the model has 1 inputs: x"),
        ("yield {'x': [[1], [1, 2]]}", ModelError, "Sample 0 of bad.py:it raised ValueError"),
    ],
    ids=["raises", "not iterable", "too many", "ragged"],
)  # fmt: skip
def test_a_bad_generator_is_told_which_sample(
    workspace: Path, body: str, kind: type[EdgepackError], message: str
) -> None:
    Path("bad.py").write_text(f"def it():\n  {body}\n")
    with pytest.raises(kind, match=message):
        read("bad.py:it")


def test_peek_tells_what_the_first_sample_is_without_a_model(workspace: Path) -> None:
    np.savez("s.npz", x=ROWS, y=np.arange(10))
    Path("gen.py").write_text("import numpy\ndef it(): yield numpy.zeros((3, 4), 'int32'), [1.0]\n")
    assert peek("s.npz") == (TensorSpec("x", (2,), "float32"), TensorSpec("y", (), "int64"))
    assert peek("gen.py:it") == (
        TensorSpec("input_0", (3, 4), "int32"),
        TensorSpec("input_1", (1,), "float64"),
    )
    assert peek(".") == peek("nowhere.npz") == peek("") == ()
