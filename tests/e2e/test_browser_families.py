"""Every family of models for browsers: a bundle that meets its default gate, on every backend of this machine."""

import json

import pytest

FAMILIES = [
    ("cnn", "images"),
    ("unet", "images"),
    ("leaky", "images"),
    ("detector", "images"),
    ("lstm", "series"),
    ("gru", "series"),
    ("transformer", "ids"),
    ("conv1d", "sound"),
    ("multi", "both"),
]


@pytest.mark.parametrize(("source", "data"), FAMILIES, ids=[source for source, _ in FAMILIES])
def test_int8_weights_pass_on_wasm_and_in_plain_javascript(passes, source, data):
    bundle = passes(source, data, "--target", "tfjs").bundle
    assert {row: entry["backend"] for row, entry in bundle["parity"].items()} == {
        "host": "wasm",
        "host/cpu": "cpu",
    }
    assert all(entry["passed"] for entry in bundle["parity"].values())
    assert (
        source == "multi" or bundle["audit"]["ops_by_precision"]["int8_weights"]
    )  # all of its weights are small
    assert not bundle["audit"]["full_int8"]  # TensorFlow.js computes in float, whatever is stored


def test_a_backend_without_a_kernel_is_marked_and_the_bundle_ships(passes, tmp_path):
    """TensorFlow.js has no FFT for wasm."""
    ended = passes("stft", "sound", "--target", "tfjs")
    manifest = json.loads((tmp_path / ended.bundle["path"] / "manifest.json").read_text())
    assert "FFT" in manifest["backends"]["wasm"]
    assert [name for name, reason in manifest["backends"].items() if not reason] == ["webgl", "webgpu", "cpu"]
    host, wasm = manifest["parity"]["host"], manifest["parity"]["host/wasm"]
    assert (host["backend"], host["passed"]) == ("cpu", True)
    assert (wasm["passed"], wasm["outputs"]) == (False, {})
    assert "FFT" in wasm["error"]
    assert "does not use wasm" in ended.said


def test_the_few_weights_that_8_bits_destroy_get_16(passes, tmp_path):
    ended = passes("uneven", "series", "--target", "tfjs", "--gate", "sqnr_db>=30")
    audit = ended.bundle["audit"]
    assert {"rough" in entry["op"] for entry in audit["exceptions"]} == {True}
    assert len(audit["exceptions"]) == audit["ops_by_precision"]["int16_weights"] == 2
    assert audit["ops_by_precision"]["int8_weights"] == 2
    assert "as int8 its weights keep" in audit["exceptions"][0]["reason"]
    assert "Weights stored better" in (tmp_path / ended.bundle["path"] / "report.html").read_text()


def test_of_two_targets_each_gets_its_own_bundle(build, tmp_path):
    ended = build("cnn", "images", "--target", "tfjs", "--target", "tflite")
    assert ended.code == 0, ended.err
    for entry in json.loads(ended.out)["bundles"]:
        assert (tmp_path / entry["path"] / "manifest.json").is_file()
