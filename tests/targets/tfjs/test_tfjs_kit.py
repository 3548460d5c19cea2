"""The kit's files: they hold whatever a model is called, Node parses them, npm installs them."""

import json
import re
import subprocess

import numpy as np
import pytest
from PIL import Image

from edgepack.bundle.manifest import IslandEntry, Manifest
from edgepack.errors import ModelError
from edgepack.targets.tfjs import integration, node


def run_node(script, *arguments, cwd):
    command = [*node.Node().command(), "--input-type=module", "--eval", script, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def own_files(folder):
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and "runtime" not in path.relative_to(folder).parts
    ]


@pytest.mark.parametrize("which", ["bundle", "attacked", "litert_bundle"])
def test_all_javascript_parses(which, request):
    folder = request.getfixturevalue(which)
    scripts = [path for path in own_files(folder) if path.suffix == ".js"]
    assert len(scripts) > 10
    for script in scripts:
        command = [*node.Node().command(), "--check", str(script)]
        assert subprocess.run(command, capture_output=True, text=True, timeout=600).stderr == "", script


def test_hostile_names_stay_data(attacked):
    """Less its string literals, no script holds them; the page holds nothing of them at all."""
    for path in own_files(attacked):
        if path.suffix not in (".js", ".ts", ".html", ".md") or path.name == "report.html":
            continue
        text = path.read_text(encoding="utf-8")
        bare = re.sub(r'"(\\.|[^"\\\n])*"', '""', text) if path.suffix != ".html" else text
        assert "injected" not in bare, path
        assert not re.search("[猫\u2028\u202e]", text), path
    fences = (attacked / "README.md").read_text().count("```")
    assert fences == 2


@pytest.mark.parametrize("which", ["bundle", "litert_bundle"])
def test_nothing_is_fetched_from_elsewhere(which, request):
    for path in own_files(request.getfixturevalue(which)):
        if path.suffix in (".js", ".ts", ".html", ".css", ".json", ".svg"):
            text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"https?://|//cdn", text), path


def test_it_is_an_npm_package(bundle, tmp_path):
    package = json.loads((bundle / "package.json").read_text())
    assert (package["name"], package["version"]) == ("class-1.net", "1.0.0")
    assert "scripts" not in package
    (tmp_path / "package.json").write_text("{}")
    npm = [*node.Npm().command(), "install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run([*npm, str(bundle)], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    script = 'import { load, backends } from "class-1.net"; console.log(typeof load, backends.join())'
    assert run_node(script, cwd=tmp_path) == "function wasm,webgl,webgpu,cpu\n"


@pytest.mark.parametrize(("given", "expected"), [("1.2.3", "1.2.3"), ("1.2", "1.2.0"), ("v7", "0.0.0")])
def test_npm_wants_three_numbers(given, expected):
    manifest = Manifest.model_construct(name="it", version=given)
    assert json.loads(integration._package(manifest).text)["version"] == expected


def test_a_bundle_carries_its_own_runtime_and_no_other(bundle, litert_bundle):
    runtime = {path.name for path in (litert_bundle / "runtime").iterdir()}
    assert runtime == {path.name for path in (node.runtime_files() / "litert").iterdir()}
    assert not any("tfjs" in name for name in runtime)
    assert not any("litert" in path.name for path in (bundle / "runtime").iterdir())


def test_what_is_said_is_true_of_the_runtime(bundle, litert_bundle):
    graph, litert = ((folder / "README.md").read_text() for folder in (bundle, litert_bundle))
    assert "TensorFlow.js" in graph
    assert '"webgl"' in graph
    assert "LiteRT.js" in litert
    assert '"webgl"' not in litert
    assert "threads" not in litert
    assert "a model for LiteRT.js" in (litert_bundle / "package.json").read_text()
    assert "wasm only" in (litert_bundle / "edgepack.d.ts").read_text()
    assert "wasm only" not in (bundle / "edgepack.d.ts").read_text()


ISLAND = IslandEntry(op="softmax", kind="SOFTMAX", reason="its best value is too small")


@pytest.mark.parametrize(
    ("ops", "islands", "int8_inside"),
    [
        ({"int8": 4, "convert": 2}, (), True),
        ({"int8": 4, "float32": 1}, (ISLAND,), False),
        ({"int8_dynamic": 4}, (), False),
    ],
)
def test_only_an_audited_model_is_called_int8_inside(litert_bundle, ops, islands, int8_inside):
    manifest = Manifest.model_validate_json((litert_bundle / "manifest.json").read_bytes())
    audit = manifest.audit.model_copy(update={"ops_by_precision": ops, "float_islands": islands})
    made = integration.files(manifest.model_copy(update={"audit": audit}), {})
    (readme,) = (file.text for file in made if file.path == "README.md")
    assert ("int8 inside" in readme) == int8_inside
    assert "\n\n\n" not in readme


def test_litert_is_not_given_an_output_that_is_an_input(litert_bundle):
    """It reads such an input as zeros, and says nothing."""
    manifest = Manifest.model_validate_json((litert_bundle / "manifest.json").read_bytes())
    same = np.ones((1, 4), np.float32)
    with pytest.raises(ModelError, match="'probabilities' is the input 'image' passed through"):
        list(integration.files(manifest, {"inputs/image": same, "outputs/probabilities": same}))


def test_litert_is_not_given_a_type_that_it_lacks(litert_bundle):
    manifest = Manifest.model_validate_json((litert_bundle / "manifest.json").read_bytes())
    (entry,) = manifest.outputs
    flag = manifest.model_copy(update={"outputs": (entry.model_copy(update={"dtype": "bool"}),)})
    with pytest.raises(ModelError, match="'probabilities' is bool"):
        list(integration.files(flag, {}))


def test_a_first_visit_loads_one_webassembly_of_litert(litert_bundle):
    manifest = Manifest.model_validate_json((litert_bundle / "manifest.json").read_bytes())
    first = {file.path for file in integration.files(manifest, {}) if file.first_visit}
    names = {"litert.js", "litert_wasm_internal.js", "litert_wasm_internal.wasm"}
    assert {path for path in first if path.startswith("runtime/")} == {f"runtime/{name}" for name in names}
    assert manifest.download is not None
    assert 2_500_000 < manifest.download.compressed < 3_500_000
    worker = (litert_bundle / "sw.js").read_text()
    kept_later = worker[worker.index("const LATER") : worker.index("const url")]
    assert "litert_wasm_compat_internal.wasm" in kept_later
    assert '"model.tflite"' in worker[: worker.index("const LATER")]


def test_the_manifest_tells_the_size_of_a_first_visit(bundle):
    manifest = Manifest.model_validate_json((bundle / "manifest.json").read_bytes())
    assert manifest.download is not None
    assert 1_000_000 < manifest.download.bytes < 1_400_000
    assert 250_000 < manifest.download.compressed < 500_000


def test_the_service_worker_changes_with_the_weights(bundle, tmp_path):
    manifest = Manifest.model_validate_json((bundle / "manifest.json").read_bytes())
    entries = tuple(each for each in manifest.files if each.path in manifest.artifact)
    other = (entries[0], *(each.model_copy(update={"sha256": "1" * 64}) for each in entries[1:]))
    texts = [
        {file.path: file.text for file in integration.files(manifest.model_copy(update={"files": files}), {})}
        for files in (entries, entries, other)
    ]
    assert texts[0] == texts[1]
    assert [name for name in texts[0] if texts[0][name] != texts[2][name]] == ["sw.js"]
    assert json.dumps(manifest.artifact[1]) in texts[0]["sw.js"]


def test_pictures_are_resized_as_pillow_does(bundle):
    pixels = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    script = """
        globalThis.ImageData = class { constructor(data, width, height) { Object.assign(this, { data, width, height }); } };
        const { pixels } = await import("./lib/image.js");
        const { data, height, width, grey } = JSON.parse(process.argv[1]);
        console.log(JSON.stringify([...pixels(new ImageData(data, 53, 37), height, width, grey)]));
    """
    rgba = np.concatenate([pixels, np.full((37, 53, 1), 255, np.uint8)], -1).ravel().tolist()
    for height, width, grey in [
        (8, 8, False),
        (64, 80, False),
        (12, 60, True),
        (37, 53, True),
        (37, 10, False),
    ]:
        request = json.dumps({"data": rgba, "height": height, "width": width, "grey": grey})
        found = np.array(json.loads(run_node(script, request, cwd=bundle)))
        picture = Image.fromarray(pixels).convert("L" if grey else "RGB")
        expected = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)).astype(float)
        assert abs(found - expected.ravel()).max() <= 1, (height, width, grey)


def test_npz_files_are_read(bundle, tmp_path):
    arrays = {
        "a/b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "ids": np.array([[1, -2]], np.int64),
        "猫": np.array([[True], [False]]),
        "small": np.array([[-1]], np.int8),
        "double": np.array([[0.5]]),
    }
    script = """
        const { readNpz } = await import("./lib/npz.js");
        const { readFileSync } = await import("node:fs");
        const bytes = readFileSync(process.argv[1]);
        const read = await readNpz(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
        console.log(JSON.stringify(Object.entries(read).map(([name, { data, shape }]) => [name, [...data], shape])));
    """
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        read = json.loads(run_node(script, tmp_path / "a.npz", cwd=bundle))
        assert {name for name, _, _ in read} == set(arrays)
        for name, data, shape in read:
            np.testing.assert_array_equal(np.array(data).reshape(shape), arrays[name])
