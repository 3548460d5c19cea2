"""Bundles verified in Chromium: every backend computes, and a page cannot talk its way out. See test_verify_engines.py."""

import pytest
import tensorflow as tf
from spoiled import on_wasm, reseal
from tfjs_bundles import NAMES, adopted, finish, pictures

from edgepack import devices
from edgepack.bundle import reader
from edgepack.devices import golden
from edgepack.devices.browsers.chromium import ChromiumTool
from edgepack.devices.replay import replay
from edgepack.errors import MissingToolError, ModelError
from edgepack.spec import Precision
from edgepack.target import Plan
from edgepack.targets.tfjs.lower import lower

try:
    ChromiumTool().verify()
except MissingToolError as missing:
    pytest.skip(missing.message, allow_module_level=True)


class Ranks(tf.Module):
    """Which pixels are equal: an op that TensorFlow.js has for WebAssembly, not for WebGPU."""

    @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 3), tf.float32, "image")])
    def __call__(self, image):
        _, places = tf.unique(image[0, 0, :, 0])
        return {"probabilities": tf.cast(places, tf.float32)[tf.newaxis]}


def test_every_backend_passes_on_every_browser_and_nothing_is_left_behind(bundle, verify, short):
    code, answer, said = verify(bundle, "host", "chrome-desktop", "chrome-android")
    assert (code, answer["passed"]) == (0, True), answer
    for name in ("chrome-desktop", "chrome-android"):
        backends = answer["devices"][name]["backends"]
        assert list(backends) == ["wasm", "webgl", "webgpu"]
        assert all(
            each["passed"] and each["outputs"]["probabilities"]["sqnr_db"] > 100 for each in backends.values()
        )
    assert "Android" in said  # what it is not
    assert not [line for line in said.splitlines() if len(line) > 80]
    assert list(short.iterdir()) == []


def test_webgpu_computes_on_webgpu(bundle):
    with devices.find("chrome-desktop").open(reader.read(bundle), "webgpu") as tab:
        tab.page.tab.evaluate("""() => {
            globalThis.dispatched = 0;
            const real = GPUComputePassEncoder.prototype.dispatchWorkgroups;
            GPUComputePassEncoder.prototype.dispatchWorkgroups = function (...a) { dispatched++; return real.apply(this, a); };
        }""")
        tab(pictures()[0])
        assert tab.page.tab.evaluate("dispatched") >= 3


def test_a_phone_looks_like_one(bundle):
    with devices.find("chrome-android").open(reader.read(bundle), "wasm") as tab:
        agent, touch, width, isolated = tab.page.tab.evaluate(
            "[navigator.userAgent, navigator.maxTouchPoints, screen.width, crossOriginIsolated]"
        )
    assert "Android" in agent
    assert touch > 0
    assert width < 500
    assert isolated


def test_a_backend_that_lacks_an_op_is_marked_and_does_not_fail_the_bundle(tmp_path, verify):
    folder = tmp_path / "ranks" / "bundle"
    folder.mkdir(parents=True)
    model = adopted(Ranks())
    artifact = lower(model.form("tf")).emit(Plan(Precision.FLOAT32), folder)
    finish(folder, artifact, model, pictures(), labels=(), renamed=dict(zip(NAMES, NAMES, strict=True)))
    code, answer, said = verify(folder, "chrome-desktop")
    backends = answer["devices"]["chrome-desktop"]["backends"]
    assert (code, backends["wasm"]["passed"]) == (0, True), answer
    assert not backends["webgpu"]["passed"]
    assert "Unique" in backends["webgpu"]["error"]
    assert "chrome-desktop webgpu cannot run this bundle" in said


def test_what_the_build_found_out_is_not_tried_again(fresh):
    found = reseal(fresh, backends={"wasm": "", "webgpu": "no kernel for 'Xor'"})
    wasm, webgpu = replay(devices.find("chrome-desktop"), found).backends
    assert (wasm.backend, wasm.passed) == ("wasm", True)
    assert webgpu.error == "no kernel for 'Xor'"


def test_a_tab_that_crashes_is_said(bundle):
    found = reader.read(bundle)
    with devices.find("chrome-desktop").open(found, "wasm") as tab:
        with pytest.raises(Exception, match="ERR_ABORTED"):
            tab.page.tab.goto("chrome://crash")
        with pytest.raises(ModelError, match="the tab crashed"):
            tab(golden.load(found).inputs[0])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("{ backend: 'cpu' }", "computes with 'cpu', not with 'wasm'"),
        ("{ backend: 'wasm', predict: () => ({ probabilities: { data: [1], shape: [1] } }) }", "no named arrays"),
        ("{ backend: 'wasm', predict: () => ({}) }", "no output 'probabilities'"),
        ("{ backend: 'wasm', predict: () => ({ probabilities: { data: new Float32Array(2), shape: [1, 2] } }) }", "1x2, not 1x4"),
    ],
    ids=["another backend", "no arrays", "no output", "another shape"],
)  # fmt: skip
def test_a_page_that_gives_no_answer_fails(fresh, answer, said):
    result = on_wasm("chrome-desktop", fresh, f"export const load = async () => ({answer});")
    (failure,) = result.failures
    assert said in failure
