"""Folders of images: upright, resized, in the channels and layout of the input, in a fixed and mixed order."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgepack.errors import UsageError
from edgepack.readers import IMAGE_SUFFIXES, read_samples
from edgepack.spec import TensorSpec
from edgepack.wrap import InputWrap, Wrap

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::RuntimeWarning:PIL")

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
PICTURE = np.array([[RED, GREEN, BLUE], [BLUE, WHITE, RED]], np.uint8)  # 2 rows, 3 columns


def image(*shape: int) -> tuple[TensorSpec, ...]:
    return (TensorSpec("image", shape, "float32"),)


def read(
    folder: Path, inputs: tuple[TensorSpec, ...], wrap: Wrap | None = None, limit: int | None = None
) -> list:
    return list(read_samples(str(folder), inputs, wrap or Wrap(), limit))


def only(folder: Path, *shape: int, wrap: Wrap | None = None) -> np.ndarray:
    ((_, arrays),) = read(folder, image(*shape), wrap)
    return arrays["image"]


def test_pixels_come_as_bytes_in_rgb(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    pixels = only(tmp_path, 1, 2, 3, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, PICTURE)


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_image_becomes_rgb_or_grey(tmp_path: Path, mode: str) -> None:
    white = Image.fromarray(np.full((4, 4), 65535, np.uint16)) if mode == "I;16" else None
    (white or Image.new("RGB", (4, 4), WHITE).convert(mode)).save(tmp_path / "a.tif")
    assert (only(tmp_path, 1, 4, 4, 3) == 255).all()
    assert only(tmp_path, 1, 4, 4, 1).shape == (4, 4, 1)


def test_sixteen_bits_are_scaled_to_eight_not_cut_off(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 128 * 257, np.uint16)).save(tmp_path / "a.png")
    assert abs(only(tmp_path, 1, 4, 4, 1).astype(int) - 128).max() <= 1
    assert abs(only(tmp_path, 1, 4, 4, 3).astype(int) - 128).max() <= 1


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_pixels_of_32_bits_have_no_known_range_and_are_refused(tmp_path: Path, dtype: str) -> None:
    Image.fromarray(np.ones((4, 4), dtype)).save(tmp_path / "a.tif")
    with pytest.raises(UsageError, match="a.tif has 32-bit pixels") as error:
        only(tmp_path, 1, 4, 4, 3)
    assert "8 bits" in error.value.hint


def test_grey_weighs_the_channels_as_the_eye_does(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), GREEN).save(tmp_path / "a.png")
    grey = only(tmp_path, 1, 4, 4, 1)
    assert abs(int(grey[0, 0, 0]) - 0.587 * 255) <= 1  # ITU-R BT.601


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(1, PICTURE), (3, PICTURE[::-1, ::-1]), (6, np.rot90(PICTURE, -1)), (8, np.rot90(PICTURE))],
)
def test_photos_are_turned_upright(tmp_path: Path, orientation: int, upright: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PICTURE).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(only(tmp_path, 1, *upright.shape), upright)


def test_images_are_resized_to_height_and_width_of_the_input(tmp_path: Path) -> None:
    left_half_red = np.zeros((40, 60, 3), np.uint8)
    left_half_red[:, :30] = RED
    Image.fromarray(left_half_red).save(tmp_path / "a.png")
    pixels = only(tmp_path, 1, 10, 20, 3)
    assert pixels.shape == (10, 20, 3)
    assert (pixels[:, :8] == RED).all()
    assert (pixels[:, 12:] == 0).all()


def test_shrinking_averages_instead_of_dropping_pixels(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "a.png")
    assert abs(only(tmp_path, 1, 8, 8, 1).astype(int) - 127).max() < 12


def test_an_input_declared_channels_first_gets_channels_first(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    wrap = Wrap((("image", InputWrap(layout="NCHW")),))
    np.testing.assert_array_equal(only(tmp_path, 1, 3, 2, 3, wrap=wrap), PICTURE.transpose(2, 0, 1))


def test_an_input_declared_an_image_is_fed_channels_last_whatever_its_network_takes(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    wrap = Wrap((("image", InputWrap(kind="image", layout="NCHW")),))
    np.testing.assert_array_equal(only(tmp_path, 1, 2, 3, 3, wrap=wrap), PICTURE)


def many(folder: Path) -> Path:
    for kind in ("cats", "dogs"):
        (folder / kind).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (2, 2)).save(folder / kind / f"{number}.png")
    return folder


def test_the_order_is_fixed_by_the_names_and_mixes_the_folders(tmp_path: Path) -> None:
    labels = [label for label, _ in read(many(tmp_path / "here"), image(1, 2, 2, 3))]
    assert sorted(labels) == sorted(f"{kind}/{n}.png" for kind in ("cats", "dogs") for n in range(20))
    assert labels == [label for label, _ in read(many(tmp_path / "elsewhere"), image(1, 2, 2, 3))]
    first = [label.partition("/")[0] for label in labels[:10]]
    assert 2 <= first.count("cats") <= 8


def test_a_limit_takes_the_beginning_of_the_mixed_order(tmp_path: Path) -> None:
    every = [label for label, _ in read(many(tmp_path), image(1, 2, 2, 3))]
    assert [label for label, _ in read(tmp_path, image(1, 2, 2, 3), limit=7)] == every[:7]


def test_every_known_suffix_is_read_in_any_case_and_others_are_not(tmp_path: Path) -> None:
    for suffix in IMAGE_SUFFIXES:
        Image.new("RGB", (2, 2)).save(tmp_path / f"it{suffix.upper()}")
    (tmp_path / "labels.txt").write_text("cat\n")
    (tmp_path / ".DS_Store").write_text("")
    assert {label for label, _ in read(tmp_path, image(1, 2, 2, 3))} == {
        f"it{suffix.upper()}" for suffix in IMAGE_SUFFIXES
    }


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jpg", b""), ("a.png", b"<html>not found</html>"), ("a.tif", b"II*\0\x08\0\0\0\xff\xff")],
)
def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=rf"{name} is not a readable image"):
        read(tmp_path, image(1, 2, 2, 3))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".gif", ".bmp", ".tif"])
@given(data=st.data())
def test_a_damaged_image_is_decoded_or_named(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise).save(folder / f"a{suffix}", **({} if suffix == ".bmp" else {"exif": exif}))
    content = bytearray((folder / f"a{suffix}").read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, min(len(content), 300) - 1))] ^= data.draw(st.integers(1, 255))
    end = data.draw(st.sampled_from([len(content), len(content) // 2, 40]))
    (folder / f"a{suffix}").write_bytes(content[:end])
    shape, problem = None, ""
    try:
        shape = only(folder, 1, 24, 24, 3).shape
    except UsageError as error:
        problem = error.message
    assert shape == (24, 24, 3) or re.search(rf"a{suffix} (is not a readable image|has 32-bit)", problem)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (image(1, 10), "one image input; this one has image: float32"),
        (image(1, 2, 2, 3) * 2, "one image input"),
        (image(1, 3, 2, 2), "has 2 channels"),
        (image(1, 2, 2, 4), "has 4 channels"),
    ],
    ids=["a vector", "two inputs", "channels first, not declared", "four channels"],
)
def test_inputs_that_are_no_image_are_refused(
    tmp_path: Path, inputs: tuple[TensorSpec, ...], message: str
) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match=message):
        read(tmp_path, inputs)


def test_an_empty_folder_is_refused_with_the_known_kinds(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There are no images in") as error:
        read(tmp_path, image(1, 2, 2, 3))
    assert ".jpg" in error.value.hint
