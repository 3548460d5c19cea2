"""Every family of models, from a factory to a bundle that passed its default gate, or refused with its layers named."""

import json

import numpy as np
import pytest
from PIL import Image


def test_a_cnn_is_all_int8(passes, tmp_path):
    ended = passes("cnn", "images")
    assert ended.bundle["audit"]["full_int8"]
    assert ended.bundle["audit"]["ops_by_precision"].keys() == {"int8"}
    assert ended.outputs["classes"]["argmax_agreement"] >= 0.95
    manifest = json.loads((tmp_path / ended.bundle["path"] / "manifest.json").read_text())
    assert [entry["name"] for entry in manifest["inputs"]] == ["image"]
    assert [entry["name"] for entry in manifest["outputs"]] == ["classes"]


def test_a_u_net_is_all_int8(passes):
    ended = passes("unet", "images")
    assert ended.bundle["audit"]["full_int8"]
    assert ended.outputs["mask"]["sqnr_db"] >= 30


def test_leaky_prelu_and_elu_are_all_int8(passes):
    ended = passes("leaky", "images")
    assert ended.bundle["audit"]["full_int8"]
    assert ended.islands == set()


def test_a_detector_in_int8_dynamic(passes):
    assert passes("detector", "images", "--precision", "int8_dynamic").outputs["detections"]["sqnr_db"] >= 30


def test_a_detectors_scores_survive_int8_beside_its_boxes(passes, tmp_path):
    """One scale of 0.5 for boxes in pixels and scores in 0..1 would leave 0, 0.5 or 1: they are joined in float, and it says so."""
    ended = passes("detector", "images", "--precision", "int8")
    notes = json.loads((tmp_path / ended.bundle["path"] / "manifest.json").read_text())["notes"]
    assert not any("mostly lost" in note for note in notes)
    islands = ended.bundle["audit"]["float_islands"]
    assert any("very different ranges" in island["reason"] for island in islands)


@pytest.mark.parametrize("precision", ["int8", "int8_dynamic"])
def test_an_lstm_has_int8_weights_and_says_that_its_loop_computes_in_float(passes, precision):
    ended = passes("lstm", "series", "--precision", precision)
    audit = ended.bundle["audit"]
    assert not audit["full_int8"]
    assert audit["ops_by_precision"]["int8_dynamic"] >= 4
    assert ("WHILE" in ended.islands) == (precision == "int8")
    assert all(island["reason"] for island in audit["float_islands"])


@pytest.mark.parametrize("precision", ["int8", "int8_dynamic"])
def test_a_bidirectional_gru(passes, precision):
    assert passes("gru", "series", "--precision", precision).outputs["value"]["cosine"] >= 0.98


@pytest.mark.parametrize("precision", ["int8", "int8_dynamic"])
def test_a_transformer_with_ids_of_int64_and_a_mask(passes, precision):
    ended = passes("transformer", "ids", "--precision", precision)
    assert ended.outputs["intent"]["argmax_agreement"] >= 0.95
    assert "'ids' is int64 in the original and int32 here" in ended.said


def test_audio_by_conv1d_is_all_int8(passes):
    assert passes("conv1d", "sound").bundle["audit"]["full_int8"]


def test_a_spectrogram_inside_stays_in_float_up_to_its_logarithm(passes):
    """Its dynamic range is more than 8 bits can tell; the network behind it is int8."""
    ended = passes("stft", "sound", "--precision", "int8")
    assert {"RFFT2D", "LOG"} <= ended.islands
    assert not ended.islands & {"CONV_2D", "FULLY_CONNECTED", "SOFTMAX"}
    assert ended.outputs["word"]["sqnr_db"] >= 30
    assert any("logarithm" in island["reason"] for island in ended.bundle["audit"]["float_islands"])


def test_a_spectrogram_inside_passes_in_int8_dynamic(passes):
    passes("stft", "sound", "--precision", "int8_dynamic")


def test_several_inputs_and_a_dict_of_outputs(passes):
    ended = passes("multi", "both", "--precision", "int8")
    assert list(ended.outputs) == ["kind", "box", "age"]
    assert ended.bundle["audit"]["full_int8"]


@pytest.mark.parametrize("precision", ["int16x8", "float16", "float32"])
def test_other_precisions_of_a_cnn(passes, precision):
    ended = passes("cnn", "images", "--precision", precision)
    assert not ended.bundle["audit"]["full_int8"]
    assert ended.outputs["classes"]["sqnr_db"] >= {"int16x8": 35, "float16": 35, "float32": 60}[precision]


def test_the_textbook_wrapper_fed_with_pixels(passes):
    ended = passes("Textbook", "pixels")  # the class itself: it takes no arguments
    assert ended.bundle["audit"]["full_int8"]
    assert ended.outputs["probs"]["sqnr_db"] >= 20


def test_a_folder_of_images_for_a_model_that_scales_by_itself(passes, tmp_path):
    """Pixels go in as they are; nothing warns, and the input's scale is one step of a pixel."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos" / "cats").mkdir(parents=True)
    for number in range(24):
        blocks = rng.integers(0, 256, (10, 12, 3), np.uint8).repeat(4, 0).repeat(4, 1)
        Image.fromarray(blocks).save(tmp_path / "photos" / "cats" / f"{number}.png")
    ended = passes("textbook", "photos")
    manifest = json.loads((tmp_path / ended.bundle["path"] / "manifest.json").read_text())
    assert manifest["inputs"][0]["quantization"] == {"scale": 1.0, "zero_point": -128}
    assert "like raw pixels" not in ended.said
    assert "look scaled already" not in ended.said


def test_a_declared_scaling_that_the_model_does_already_is_not_added_twice(passes):
    """It divides by 255, and the network in it goes on with x * 2 - 1: one scaling, as the graph has it."""
    flags = ("--input", f"image:kind=image,scale={2 / 255},offset=-1", "--output", "probs:activation=softmax")
    ended = passes("textbook", "pixels", *flags)
    assert ended.said.count("not added twice") == 2


def test_the_same_build_gives_the_same_bytes(passes, tmp_path):
    contents = []
    for out in ("one", "two"):
        folder = tmp_path / passes("multi", "both", "--out", out).bundle["path"]
        contents.append(
            {
                path.relative_to(folder): path.read_bytes()
                for path in sorted(folder.rglob("*"))
                if path.suffix in (".tflite", ".npz")
            }
        )
    assert contents[0] == contents[1]
    assert contents[0]


def test_a_model_whose_gate_is_too_high_is_put_aside(refused):
    ended = refused("cnn", "images", "--gate", "sqnr_db>=90")
    assert "int8_dynamic" in ended.error["hint"]
    assert "classes: sqnr_db is" in ended.error["message"]
