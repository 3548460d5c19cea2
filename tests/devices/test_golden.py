"""The golden vectors of a stranger's bundle: numbers in the shapes that the manifest names, or refused."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_bundle import SAMPLES, manifest, write

from edgepack.bundle.reader import Bundle
from edgepack.devices import golden
from edgepack.errors import UsageError

SHAPE = (SAMPLES, 1, 4)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle(write(tmp_path / "it"), manifest())


def refused(bundle: Bundle) -> str:
    with pytest.raises(UsageError) as caught:
        golden.load(bundle)
    assert "golden/inputs.npz" in caught.value.message
    return caught.value.message


def npy(array: Any, **header: object) -> bytes:
    """As np.save writes it, but for what the header says."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    data = buffer.getvalue()
    (length,) = struct.unpack_from("<H", data, 8)
    told = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    text = "{" + "".join(f"{key!r}: {value!r}, " for key, value in {**told, **header}.items()) + "}"
    return data[:10] + text.ljust(length - 1).encode() + b"\n" + data[10 + length :]


def put(bundle: Bundle, data: bytes, name: str = "x:0.npy") -> None:
    with zipfile.ZipFile(bundle.folder / "golden/inputs.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, data)


def test_there_is_a_mapping_for_each_sample(bundle: Bundle) -> None:
    found = golden.load(bundle)
    assert len(found.inputs) == len(found.outputs) == SAMPLES
    assert found.inputs[0]["x:0"].shape == (1, 4)
    assert found.outputs[2]["y"] == np.ones(1)


@pytest.mark.parametrize("dtype", [*"?bBhHiIqQefd"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_number_that_edgepack_writes_comes_back(
    bundle: Bundle, save: Callable[..., None], dtype: str
) -> None:
    given = np.random.default_rng(0).integers(0, 2, SHAPE).astype(dtype)
    save(bundle.folder / "golden/inputs.npz", **{"x:0": given})
    for number, sample in enumerate(golden.load(bundle).inputs):
        assert sample["x:0"].dtype == given.dtype
        np.testing.assert_array_equal(sample["x:0"], given[number])


@pytest.mark.parametrize("array", [np.zeros((200_000, 1, 4), np.float64), np.zeros((3, 1, 0), np.float32)])
def test_large_ones_and_empty_ones(bundle: Bundle, array: Any) -> None:
    np.savez_compressed(bundle.folder / "golden/inputs.npz", **{"x:0": array})
    entry = bundle.manifest.inputs[0].model_copy(update={"shape": array.shape[1:]})
    count = bundle.manifest.golden.model_copy(update={"shipped": len(array)})
    changed = bundle.manifest.model_copy(update={"inputs": (entry,), "golden": count})
    if array.size:
        with pytest.raises(UsageError, match=r"golden/outputs.npz"):  # the inputs were read
            golden.load(Bundle(bundle.folder, changed))
    else:
        with pytest.raises(UsageError, match="carries no golden vectors"):
            golden.load(Bundle(bundle.folder, changed))


class Evil:
    def __reduce__(self) -> Any:
        return Path("hacked").touch, ()


@pytest.mark.parametrize("allowed", ["|O", "<f4"])
def test_no_pickle_is_ever_opened(bundle: Bundle, allowed: str) -> None:
    put(bundle, npy(np.full(SHAPE, Evil(), dtype=object), descr=allowed))
    assert refused(bundle)
    assert not Path("hacked").exists()


@pytest.mark.parametrize("dtype", ["U4", "S4", "c8", "M8[s]", "m8[s]", "V8", ">f4", ">i8"])
def test_what_is_no_number_of_ours_is_refused(bundle: Bundle, dtype: str) -> None:
    put(bundle, npy(np.zeros(SHAPE, dtype)))
    assert "which is no number that edgepack writes" in refused(bundle)


@pytest.mark.parametrize(
    "header",
    [
        {"descr": [("a", "<f4")]},
        {"fortran_order": True},
        {"fortran_order": 1},
        {"shape": "__import__('os').system('touch hacked')"},
        {"shape": (-3, 1, 4)},
        {"shape": [3, 1, 4]},
        {"shape": (3.0, 1, 4)},
        {"shape": (3, (1, 4))},
        {"more": 1},
        {"descr": "<f4" * 9},
    ],
)
def test_a_header_is_as_numpy_writes_it(bundle: Bundle, header: dict[str, object]) -> None:
    put(bundle, npy(np.zeros(SHAPE, np.float32), **header))
    assert "cannot be read" in refused(bundle)
    assert not Path("hacked").exists()


@pytest.mark.parametrize("shape", [(4, 1, 3), (3, 4), (12,), (3, 1, 4, 1), (), (10**11, 1, 4)])
def test_another_shape_is_refused(bundle: Bundle, shape: tuple[int, ...]) -> None:
    put(bundle, npy(np.zeros(SHAPE, np.float32), shape=shape))
    assert "has the shape" in refused(bundle)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: data * 2])
def test_an_array_has_the_bytes_of_its_shape(bundle: Bundle, change: Callable[[bytes], bytes]) -> None:
    put(bundle, change(npy(np.zeros(SHAPE, np.float32))))
    assert "bytes" in refused(bundle)


@pytest.mark.parametrize("length", [0, 1, 9, 10, 60])
def test_an_array_that_is_cut_short_is_refused(bundle: Bundle, length: int) -> None:
    put(bundle, npy(np.zeros(SHAPE, np.float32))[:length])
    assert "cannot be read" in refused(bundle)


@pytest.mark.parametrize("name", ["y.npy", "x:0", "../x:0.npy", "x:0.npy.npy"])
def test_the_names_are_those_of_the_manifest(bundle: Bundle, name: str) -> None:
    put(bundle, npy(np.zeros(SHAPE, np.float32)), name)
    assert name in refused(bundle)


def test_a_bomb_is_refused_before_it_goes_off(bundle: Bundle) -> None:
    put(bundle, npy(np.zeros(SHAPE, np.float32)) + bytes(100_000_000))
    assert (bundle.folder / "golden/inputs.npz").stat().st_size < 200_000
    assert "has 100000" in refused(bundle)


def test_a_claim_of_two_gigabytes_is_refused(bundle: Bundle) -> None:
    path = bundle.folder / "golden/inputs.npz"
    put(bundle, npy(np.zeros(SHAPE, np.float32)))
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.rfind(b"PK\1\2") + 24, 2**31)
    path.write_bytes(data)
    assert "too large" in refused(bundle)


@pytest.mark.parametrize("count", [0, -1, 10**30])
def test_a_number_of_samples_that_cannot_be_is_refused(bundle: Bundle, count: int) -> None:
    told = bundle.manifest.golden.model_copy(update={"shipped": count})
    with pytest.raises(UsageError):
        golden.load(Bundle(bundle.folder, bundle.manifest.model_copy(update={"golden": told})))
