"""Samples that do not fit: exit 2, which sample of which input, and what to do."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def fails(build, tmp_path):
    """Build the zoo's CNN (image 32x32x3) on that data; gives what it said. It must be a fault of the data."""

    def run(data, *flags, source="cnn"):
        ended = build(source, data, *flags)
        assert ended.code == 2, ended.err
        assert ended.error["kind"] == "usage"
        assert ended.error["hint"]
        assert not list((tmp_path / "dist").glob("*"))
        return f"{ended.error['message']} {ended.error['hint']}"

    return run


def npz(folder, **arrays):
    np.savez(folder / "samples.npz", **arrays)
    return "samples.npz"


def uniform(*shape):
    return np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)


def test_no_such_file(fails):
    assert "no samples at gone.npz" in fails("gone.npz")


def test_a_file_of_another_kind(fails, tmp_path):
    (tmp_path / "samples.csv").write_text("1,2,3\n")
    assert "'.csv' is not a known kind" in fails("samples.csv")


def test_another_shape(fails, tmp_path):
    said = fails(npz(tmp_path, image=uniform(24, 28, 28, 3)))
    assert "28x28x3" in said
    assert "1x32x32x3" in said


def test_channels_first(fails, tmp_path):
    assert "the other layout" in fails(npz(tmp_path, image=uniform(24, 3, 32, 32)))


def test_too_few(fails, tmp_path):
    assert "gives 2 samples; at least 4" in fails(npz(tmp_path, image=uniform(2, 32, 32, 3)))


def test_a_value_that_is_not_finite(fails, tmp_path):
    image = uniform(24, 32, 32, 3)
    image[5, 0, 0, 0] = np.nan
    assert "sample 5 has NaN" in fails(npz(tmp_path, image=image))


def test_the_same_everywhere(fails, tmp_path):
    assert "Every value of the input 'image' is 0" in fails(npz(tmp_path, image=np.zeros((24, 32, 32, 3))))


def test_words(fails, tmp_path):
    assert "takes float32" in fails(npz(tmp_path, image=np.full((24, 32, 32, 3), "a")))


def test_one_of_two_inputs_is_missing(fails, tmp_path):
    said = fails(npz(tmp_path, image=uniform(24, 16, 16, 3)), source="multi")
    assert "no array 'meta'; it has image" in said


def test_floats_for_ids(fails, tmp_path):
    said = fails(npz(tmp_path, ids=uniform(24, 16), mask=np.ones((24, 16), np.int64)), source="transformer")
    assert "float32 for the input 'ids', which takes int32" in said


def test_a_folder_without_images(fails, tmp_path):
    (tmp_path / "photos").mkdir()
    assert "no images in photos" in fails("photos")


def test_an_image_that_cannot_be_read(fails, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(6):
        Image.fromarray(np.full((32, 32, 3), 40 * number, np.uint8)).save(
            tmp_path / "photos" / f"{number}.png"
        )
    (tmp_path / "photos" / "7.jpg").write_bytes(b"no image")
    assert "7.jpg is not a readable image" in fails("photos")


def test_a_folder_of_images_for_a_model_without_one(fails, tmp_path):
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "photos" / "1.png")
    assert "'series' is to be an image, as declared or for a folder of images, but takes series" in fails(
        "photos", source="lstm"
    )


def test_a_generator_that_raises(build, tmp_path):
    (tmp_path / "data.py").write_text("def samples():\n    yield from ()\n    raise OSError('disk gone')\n")
    ended = build("cnn", "data.py:samples")
    assert ended.code in (2, 3)
    assert "raised OSError: disk gone" in ended.said
