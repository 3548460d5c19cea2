"""The kit in Chromium: it computes what Node does, takes what a browser lacks, and names what is broken."""

import shutil

import numpy as np
import pytest

from edgepack.bundle.manifest import Manifest
from edgepack.target import Artifact
from edgepack.targets.tfjs.runner import NodeRunner


@pytest.mark.parametrize("which", ["bundle", "attacked"])
def test_a_browser_passes_the_self_test(which, request, browse):
    answer = browse(
        request.getfixturevalue(which),
        "const model = await load(); const test = await model.selfTest(); return { test, backend: model.backend };",
    )
    assert answer["backend"] == "wasm", answer
    assert answer["test"]["passed"]
    (metrics,) = answer["test"]["outputs"].values()
    assert metrics["sqnr_db"] > 110


def test_a_browser_computes_the_very_bits_that_node_does(bundle, browse):
    answer = browse(
        bundle,
        "const model = await load({ backend: 'wasm', fallback: false }); const [first] = await model.golden();"
        "return [...(await model.predict(first.inputs)).probabilities.data];",
    )
    manifest = Manifest.model_validate_json((bundle / "manifest.json").read_bytes())
    runner = NodeRunner(Artifact(bundle, manifest.artifact))
    with np.load(bundle / "golden" / "inputs.npz") as golden:
        here = runner({"image": golden["image"][0]})["probabilities"]
    np.testing.assert_array_equal(np.float32(answer), here.ravel())


def test_a_browser_takes_pictures_numbers_and_batches_and_leaks_nothing(bundle, browse):
    answer = browse(
        bundle,
        """
        const model = await load({ backend: "wasm" });
        const rgba = new Uint8ClampedArray(16 * 16 * 4).fill(200);
        const { probabilities } = await model.predict(new ImageData(rgba, 16, 16), { topK: 3 });
        const same = await model.predict({ image: new Float32Array(8 * 8 * 3).fill(200) });
        const two = await model.predict(new Float32Array(2 * 8 * 8 * 3).fill(200));
        const before = model.tensors;
        for (let i = 0; i < 1000; i++) await model.predict(new Float32Array(8 * 8 * 3));
        const after = model.tensors;
        const wrong = [];
        for (const bad of [{}, { other: [1] }, [1, 2]]) await model.predict(bad).catch((error) => wrong.push(error.message));
        await model.dispose();
        return { top: probabilities.top, same: [...same.probabilities.data], shape: two.probabilities.shape,
                 leaked: after - before, left: model.tensors, wrong };
        """,
    )
    assert [each["label"] for each in answer["top"]] == [
        ("cat", "dog", "größe", "other")[each["index"]] for each in answer["top"]
    ]
    assert len(answer["top"]) == 3
    assert answer["top"][0]["score"] == max(answer["same"])
    assert answer["shape"] == [2, 4]
    assert (answer["leaked"], answer["left"]) == (0, 0)
    assert answer["wrong"] == [
        "The input 'image' is missing.",
        "There is no input 'other'.",
        "The input 'image' has 2 values; its shape 1,8,8,3 holds 192.",
    ]


@pytest.mark.parametrize("name", ["group1-shard1of1.bin", "model.json", "runtime/tfjs-core.js"])
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_browser_names_a_file_that_is_damaged_or_missing(bundle, browse, tmp_path, name, damage):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    if damage == "changed":
        data = (copy / name).read_bytes()
        (copy / name).write_bytes(data[:-9] + b" " + data[-8:])
    else:
        (copy / name).unlink()
    answer = browse(copy, "await load(); return {};")
    assert name in answer["error"]
    assert ("is damaged" if damage == "changed" else "answers 404") in answer["error"]


def test_a_browser_without_webgl_falls_back(bundle, browse):
    answer = browse(
        bundle,
        """
        for (const kind of [HTMLCanvasElement, OffscreenCanvas]) kind.prototype.getContext = () => null;
        const model = await load({ backend: "webgl" });
        const refused = await load({ backend: "webgl", fallback: false }).catch((error) => error.message);
        return { backend: model.backend, skipped: model.skipped, refused };
        """,
    )
    assert answer["backend"] == "wasm"
    assert [each["backend"] for each in answer["skipped"]] == ["webgl"]
    assert answer["refused"].startswith("webgl: ")


def test_a_browser_does_not_try_what_the_build_saw_fail(bundle, browse, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    manifest = Manifest.model_validate_json((copy / "manifest.json").read_bytes())
    known = {"wasm": "TensorFlow.js has no Oddity for wasm", "cpu": ""}
    (copy / "manifest.json").write_text(manifest.model_copy(update={"backends": known}).to_json())
    answer = browse(
        copy,
        "const model = await load(); return { backend: model.backend, backends: model.backends, skipped: model.skipped };",
    )
    assert (answer["backend"], answer["backends"]) == ("cpu", ["cpu"])
    assert answer["skipped"] == [
        {"backend": "wasm", "reason": "TensorFlow.js has no Oddity for wasm"},
        {"backend": "webgl", "reason": "this bundle does not run on webgl"},
    ]


def test_a_browser_without_simd_takes_the_plain_webassembly(bundle, browse):
    plain = browse(
        bundle,
        """
        WebAssembly.validate = () => false; // what TensorFlow.js asks for SIMD
        const model = await load();
        const names = performance.getEntriesByType("resource").map((each) => each.name.split("/").at(-1));
        return { backend: model.backend, wasm: names.filter((name) => name.endsWith(".wasm")), test: await model.selfTest() };
        """,
    )
    assert (plain["backend"], plain["wasm"], plain["test"]["passed"]) == (
        "wasm",
        ["tfjs-backend-wasm.wasm"],
        True,
    )


def test_a_browser_without_webassembly_still_computes(bundle, browse):
    none = browse(
        bundle,
        """
        delete globalThis.WebAssembly;
        for (const kind of [HTMLCanvasElement, OffscreenCanvas]) kind.prototype.getContext = () => null;
        const model = await load();
        return { backend: model.backend, skipped: model.skipped, test: await model.selfTest() };
        """,
    )
    assert none["backend"] == "cpu", none
    assert none["test"]["passed"]


def test_two_models_of_one_page_do_not_disturb_each_other(bundle, browse):
    answer = browse(
        bundle,
        """
        const models = await Promise.all(["wasm", "cpu"].map((backend) => load({ backend })));
        const [first] = await models[0].golden();
        const jobs = Array.from({ length: 20 }, (_, i) => models[i % 2].predict(first.inputs));
        const results = (await Promise.all(jobs)).map((result) => [...result.probabilities.data]);
        await models[0].dispose();
        const again = await models[1].predict(first.inputs);
        return { results, again: [...again.probabilities.data] };
        """,
    )
    np.testing.assert_allclose(answer["results"], np.tile(answer["results"][0], (20, 1)), atol=1e-6)
    np.testing.assert_array_equal(answer["again"], answer["results"][1])
