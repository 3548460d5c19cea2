"""A full-int8 .tflite in LiteRT.js, in Chromium: the bits of LiteRT on this machine, nothing leaked, and clear words."""

import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from playwright.sync_api import sync_playwright
from tfjs_bundles import adopted, edit, write_hostile_bundle, write_litert_bundle

from edgepack.bundle.manifest import Manifest
from edgepack.bundle.writer import seal
from edgepack.targets.tflite.runtime import LiteRTRunner

REPLAY = """
    const model = await load(); const answers = [];
    for (const { inputs } of await model.golden()) {
      const outputs = Object.entries(await model.predict(inputs));
      answers.push(Object.fromEntries(outputs.map(([name, { data }]) => [name, [...data]])));
    }
    const names = performance.getEntriesByType("resource").map((each) => each.name.split("/").at(-1));
    return { answers, wasm: names.filter((name) => name.endsWith(".wasm")) };
"""
NO_RELAXED_SIMD = """
    const { instantiate } = WebAssembly; // what LiteRT.js asks for a feature is a module of some 40 bytes
    WebAssembly.instantiate = (code, ...rest) =>
      code.byteLength < 100 ? Promise.reject(new Error("no such instruction")) : instantiate.call(WebAssembly, code, ...rest);
"""


def here(folder):
    """What LiteRT on this machine answers to the golden samples."""
    runner = LiteRTRunner(SimpleNamespace(main=folder / "model.tflite"))
    with np.load(folder / "golden" / "inputs.npz") as golden:
        samples = [dict(zip(golden.files, each, strict=True)) for each in zip(*golden.values(), strict=True)]
    return [{name: array.ravel().tolist() for name, array in runner(each).items()} for each in samples]


def test_a_browser_computes_the_very_bits_that_litert_does(litert_bundle, browse):
    answer = browse(litert_bundle, REPLAY)
    assert answer["answers"] == here(litert_bundle)
    assert answer["wasm"] == ["litert_wasm_internal.wasm"]


def test_a_browser_without_relaxed_simd_computes_the_same_bits(litert_bundle, browse):
    answer = browse(litert_bundle, NO_RELAXED_SIMD + REPLAY)
    assert answer["answers"] == here(litert_bundle)
    assert answer["wasm"] == ["litert_wasm_compat_internal.wasm"]


def test_several_inputs_and_outputs_keep_their_names(browse, tmp_path):
    left, right = keras.Input((6, 6, 2), name="zebra"), keras.Input((3,), name="ant")
    x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, activation="relu")(left))
    x = keras.layers.Concatenate()([x, keras.layers.Dense(4)(right)])
    outputs = {"wide": keras.layers.Dense(5)(x), "narrow": keras.layers.Dense(2)(x)}
    rng = np.random.default_rng(0)
    samples = [
        {name: rng.uniform(-1, 1, (1, *shape)).astype(np.float32) for name, shape in shapes}
        for shapes in 4 * [[("zebra", (6, 6, 2)), ("ant", (3,))]]
    ]
    write_litert_bundle(tmp_path / "two", adopted(keras.Model([left, right], outputs)), samples)
    assert browse(tmp_path / "two", REPLAY)["answers"] == here(tmp_path / "two")


def test_a_browser_passes_the_self_test_whatever_the_names(browse, tmp_path):
    write_hostile_bundle(tmp_path / "attacked", write_litert_bundle)
    answer = browse(tmp_path / "attacked", "return (await load()).selfTest();")
    assert answer["passed"], answer
    (metrics,) = answer["outputs"].values()
    assert 25 < metrics["sqnr_db"] < 60


def test_a_thousand_predictions_leave_no_tensor_and_no_memory_behind(litert_bundle, browse):
    answer = browse(
        litert_bundle,
        """
        const model = await load();
        const { liteRtWasm } = globalThis[Symbol.for("edgepack.litert-2.5.3")].library;
        const heap = () => liteRtWasm.HEAPU8.byteLength;
        const pixels = new Float32Array(8 * 8 * 3);
        const wrong = [];
        const before = heap();
        for (let i = 0; i < 1000; i++) await model.predict(pixels);
        for (const bad of [{}, { other: [1] }, [1, 2], { image: { data: pixels, shape: [1, 8, 3, 8] } }]) {
          await model.predict(bad).catch((error) => wrong.push(error.message));
        }
        const left = model.tensors;
        await model.dispose();
        return { grown: heap() - before, left, wrong };
        """,
    )
    assert (answer["grown"], answer["left"]) == (0, 0)
    assert answer["wrong"] == [
        "The input 'image' is missing.",
        "There is no input 'other'.",
        "The input 'image' has 2 values; its shape 1,8,8,3 holds 192.",
        "The input 'image' has the shape 1,8,3,8; the model takes 1,8,8,3.",
    ]


def test_loading_again_and_again_does_not_grow_the_memory(litert_bundle, browse):
    answer = browse(
        litert_bundle,
        """
        const sizes = [];
        for (let i = 0; i < 30; i++) {
          await (await load()).dispose();
          sizes.push(globalThis[Symbol.for("edgepack.litert-2.5.3")].library.liteRtWasm.HEAPU8.byteLength);
        }
        return sizes;
        """,
    )
    assert answer[-1] == answer[0]


def test_several_samples_run_one_after_the_other(litert_bundle, browse):
    answer = browse(
        litert_bundle,
        """
        const model = await load();
        const both = new Float32Array(2 * 192).fill(200).fill(30, 192);
        const { probabilities } = await model.predict(both);
        const apart = [both.subarray(0, 192), both.subarray(192)].map(async (each) => [...(await model.predict(each)).probabilities.data]);
        return { shape: probabilities.shape, data: [...probabilities.data], apart: (await Promise.all(apart)).flat() };
        """,
    )
    assert answer["shape"] == [2, 4]
    assert answer["data"] == answer["apart"]
    assert answer["data"][:4] != answer["data"][4:]


def test_another_backend_falls_back_or_is_refused(litert_bundle, browse):
    answer = browse(
        litert_bundle,
        """
        const model = await load({ backend: "webgl" });
        const refused = await load({ backend: "webgl", fallback: false }).catch((error) => error.message);
        return { backend: model.backend, backends: model.backends, skipped: model.skipped, refused };
        """,
    )
    assert (answer["backend"], answer["backends"]) == ("wasm", ["wasm"])
    assert answer["skipped"] == [{"backend": "webgl", "reason": "this bundle does not run on webgl"}]
    assert answer["refused"] == "webgl: this bundle does not run on webgl"


@pytest.mark.parametrize(
    "name", ["model.tflite", "runtime/litert.js", "runtime/litert_wasm_internal.js", "runtime/litert_wasm_internal.wasm"]
)  # fmt: skip
def test_a_damaged_file_is_named(litert_bundle, browse, tmp_path, name):
    copy = tmp_path / "copy"
    shutil.copytree(litert_bundle, copy)
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[:-9] + b" " + data[-8:])
    answer = browse(copy, "await load(); return {};")
    assert f"{name} is damaged" in answer["error"]


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ("delete globalThis.WebAssembly;", "this browser has no WebAssembly"),
        (
            'WebAssembly.compile = () => Promise.reject(new Error("invalid value type"));',
            "LiteRT.js needs SIMD",
        ),
    ],
)
def test_a_browser_that_is_too_old_says_so(litert_bundle, browse, lacking, words):
    answer = browse(litert_bundle, f"{lacking} await load(); return {{}};")
    assert words in answer["error"]


def test_an_op_that_litert_lacks_is_named(litert_bundle, browse, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(litert_bundle, copy)
    edit(copy / "model.tflite", lambda content: setattr(content.operatorCodes[0], "version", 999))
    seal(copy, Manifest.model_validate_json((copy / "manifest.json").read_bytes()))
    answer = browse(copy, "await load(); return {};")
    assert "Didn't find op for builtin opcode" in answer["error"]


def test_outputs_that_litert_would_mix_up_are_refused(browse, tmp_path):
    x = keras.Input((4,), name="x")
    y = keras.layers.Dense(3)(x)
    model = keras.Model(x, {"one": keras.layers.Identity()(y), "other": keras.layers.Identity()(y)})
    samples = [{"x": np.ones((1, 4), np.float32)}]
    write_litert_bundle(tmp_path / "twice", adopted(model), samples)
    answer = browse(tmp_path / "twice", "await load(); return {};")
    assert "another output is the same tensor as 'o" in answer["error"]


def test_the_page_answers_without_a_word_on_the_console(litert_bundle, serve, browser_program):
    said = []
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=browser_program, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(serve(litert_bundle))
        page.locator("#main").wait_for(state="visible")
        page.locator("#self-test").click()
        page.locator("#verdict.good").wait_for()
        assert page.locator("#backend").input_value() == "wasm"
        browser.close()
    assert said == []
