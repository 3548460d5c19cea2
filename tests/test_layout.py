"""Images fed channels last to a model that takes them channels first: a view of the model and of its samples."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import layout
from edgepack.model import Model
from edgepack.records import Records, RecordWriter
from edgepack.samples import SampleSet
from edgepack.spec import Signature, TensorSpec


class Network:
    """A model of PyTorch's form that answers with the first channel's sum."""

    name = "network"
    forms = frozenset({"torch"})
    scalings: dict[str, Any] = {}
    processing = (("image", "x / 255", "baked"),)
    notes = ("a note",)

    def __init__(self, *shapes: tuple[int, ...], dtype: str = "float32", form: str = "torch") -> None:
        names = ["image", "vector"]
        self.forms = frozenset({form})
        self.signature = Signature(
            tuple(TensorSpec(name, shape, dtype) for name, shape in zip(names, shapes, strict=False)),
            (TensorSpec("sum", (1,), "float32"),),
        )

    def __call__(self, inputs: Any) -> dict[str, Any]:
        return {"sum": inputs["image"][:, 0].sum(axis=(1, 2))}

    def form(self, name: str) -> object:
        return {name: "the program"}[name]


def drawn(path: Path, *shapes: tuple[int, ...]) -> Records:
    random = np.random.default_rng(0)
    with (writer := RecordWriter(path, {"image": "float32"})):
        for _ in range(3):
            arrays = [random.integers(0, 256, shape).astype(np.uint8) for shape in shapes]
            writer.write(dict(zip(("image", "vector"), arrays, strict=False)))
    return writer.records


def seen(model: Any, folder: Path) -> tuple[Model, SampleSet, SampleSet]:
    """The model and the samples as they are shown, and the samples as they are."""
    shapes = [spec.static_shape for spec in model.signature.inputs]
    samples = SampleSet(drawn(folder / "calibration", *shapes), drawn(folder / "held_back", *shapes))
    return *layout.channels_last(model, samples), samples


def test_an_image_is_shown_channels_last(tmp_path: Path) -> None:
    model, _, _ = seen(Network((1, 3, 6, 8), (1, 5)), tmp_path)
    assert [spec.shape for spec in model.signature.inputs] == [(1, 6, 8, 3), (1, 5)]
    assert layout.turned_inputs(model) == {"image"}


def test_samples_are_handed_out_as_the_shown_model_takes_them(tmp_path: Path) -> None:
    model, samples, original = seen(Network((1, 3, 6, 8), (1, 5)), tmp_path)
    assert len(samples.held_back) == 3
    for shown, stored in zip(samples.held_back, original.held_back, strict=True):
        assert shown["image"].dtype == np.float32
        assert shown["image"].flags.c_contiguous
        np.testing.assert_array_equal(shown["image"], stored["image"].transpose(0, 2, 3, 1))
        np.testing.assert_array_equal(shown["vector"], stored["vector"])
        np.testing.assert_array_equal(model(shown)["sum"], stored["image"][:, 0].sum(axis=(1, 2)))


def test_stacked_samples_are_turned_and_stay_as_small_as_stored(tmp_path: Path) -> None:
    _, samples, original = seen(Network((1, 3, 6, 8)), tmp_path)
    stacked, stored = samples.calibration.stacked(2)["image"], original.calibration.stacked(2)["image"]
    assert stacked.dtype == np.uint8
    np.testing.assert_array_equal(stacked, stored.transpose(0, 1, 3, 4, 2))
    (field,) = samples.calibration.fields
    assert field.shape == stacked.shape[1:]
    assert field.bytes == original.calibration.fields[0].bytes


def test_the_rest_of_the_model_is_as_it_was(tmp_path: Path) -> None:
    model, _, _ = seen(Network((1, 1, 6, 8)), tmp_path)
    assert (model.name, model.forms, model.notes) == ("network", {"torch"}, ("a note",))
    assert model.form("torch") == "the program"
    assert model.processing == (("image", "NHWC to NCHW", "baked"), ("image", "x / 255", "baked"))


@pytest.mark.parametrize(
    "model",
    [
        Network((1, 6, 8, 3)),
        Network((1, 3, 6, 3)),
        Network((1, 16, 6, 8)),
        Network((1, 3, 6)),
        Network((1, 3, 6, 8), dtype="int32"),
        Network((1, 3, 6, 8), form="tf"),
    ],
    ids=["channels last already", "either", "no image's channels", "rank 3", "integers", "TensorFlow"],
)
def test_what_is_no_image_channels_first_is_left_alone(model: Any, tmp_path: Path) -> None:
    shown, samples, original = seen(model, tmp_path)
    assert shown is model
    assert samples is original
    assert layout.turned_inputs(shown) == frozenset()
