"""Bundles verified in Chromium: every backend computes, a wrong one is seen, and a page cannot talk its way out."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tfjs_bundles import NAMES, adopted, finish, pictures, write_bundle, write_litert_bundle

from edgepack import devices
from edgepack.bundle import reader
from edgepack.bundle.manifest import Manifest
from edgepack.bundle.writer import seal
from edgepack.devices import browser, golden
from edgepack.devices.chromium import ChromiumTool
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


@pytest.fixture
def short():
    """An empty folder for temporary files; Chromium makes a socket there, whose path must be short."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def verify(short):
    """Run the command; (its code, its JSON, its stderr)."""

    def run(folder, *names):
        flags = [flag for name in names for flag in ("--device", name)]
        done = subprocess.run(
            [sys.executable, "-m", "edgepack", "verify", str(folder), *flags, "--json"],
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "80", "TMPDIR": str(short)},
            timeout=300,
        )
        return done.returncode, json.loads(done.stdout), done.stderr

    return run


@pytest.fixture
def fresh(tmp_path):
    """A bundle to spoil."""
    write_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def reseal(folder, **changes):
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    seal(folder, manifest.model_copy(update=changes))
    return reader.read(folder)


def on_wasm(folder, script):
    """What becomes of a bundle whose kit is this script instead."""
    (folder / "edgepack.js").write_text(script)
    (result,) = replay(devices.find("chrome-desktop"), reseal(folder, backends={"wasm": ""})).backends
    return result


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
        tab._page.evaluate("""() => {
            globalThis.dispatched = 0;
            const real = GPUComputePassEncoder.prototype.dispatchWorkgroups;
            GPUComputePassEncoder.prototype.dispatchWorkgroups = function (...a) { dispatched++; return real.apply(this, a); };
        }""")
        tab(pictures()[0])
        assert tab._page.evaluate("dispatched") >= 3


def test_a_phone_looks_like_one(bundle):
    with devices.find("chrome-android").open(reader.read(bundle), "wasm") as tab:
        agent, touch, width, isolated = tab._page.evaluate(
            "[navigator.userAgent, navigator.maxTouchPoints, screen.width, crossOriginIsolated]"
        )
    assert "Android" in agent
    assert touch > 0
    assert width < 500
    assert isolated


def test_a_litert_bundle_runs_on_its_one_backend(tmp_path, verify):
    write_litert_bundle(tmp_path / "elsewhere" / "bundle", gate={"expression": "sqnr_db>=10", "passed": True})
    code, answer, _ = verify(tmp_path / "elsewhere" / "bundle", "chrome-desktop")
    assert code == 0, answer
    assert list(answer["devices"]["chrome-desktop"]["backends"]) == ["wasm"]


def test_a_wrong_weight_turns_the_gate_red(fresh, verify):
    shard = fresh / "group1-shard1of1.bin"
    weights = np.frombuffer(shard.read_bytes(), np.float32).copy()
    weights[-32:] *= -1  # the last layer's
    shard.write_bytes(weights.tobytes())
    reseal(fresh, backends={"wasm": ""})
    code, answer, said = verify(fresh, "chrome-desktop")
    assert (code, answer["passed"]) == (1, False)
    assert any(
        "sqnr_db" in failure
        for failure in answer["devices"]["chrome-desktop"]["backends"]["wasm"]["failures"]
    )
    assert "did NOT pass on chrome-desktop" in said


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


def test_a_page_that_hangs_is_stopped(fresh, monkeypatch):
    monkeypatch.setattr(browser, "PATIENCE", 4.0)
    start = time.monotonic()
    result = on_wasm(fresh, "export async function load() { for (;;); }")
    assert result.error == "the page did not answer within 4 s, and was stopped"
    assert time.monotonic() - start < 30


def test_a_tab_that_crashes_is_said(bundle):
    found = reader.read(bundle)
    with devices.find("chrome-desktop").open(found, "wasm") as tab:
        with pytest.raises(Exception, match="ERR_ABORTED"):
            tab._page.goto("chrome://crash")
        with pytest.raises(ModelError, match="the tab crashed"):
            tab(golden.load(found).inputs[0])


def test_what_the_page_says_of_its_failure_is_kept(fresh):
    result = on_wasm(
        fresh, "export async function load() { console.error('look here'); throw new Error('no'); }"
    )
    assert (result.error, result.details) == ("no", "look here")


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
    result = on_wasm(fresh, f"export const load = async () => ({answer});")
    (failure,) = result.failures
    assert said in failure


def test_control_c_leaves_no_browser(bundle, short):
    process = subprocess.Popen(
        [sys.executable, "-m", "edgepack", "verify", str(bundle), "--device", "chrome-desktop"],
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(short)},
    )
    while not list(short.glob("edgepack-*/playwright*")):  # Chromium's profile
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in said
    time.sleep(1)
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(short) not in running
