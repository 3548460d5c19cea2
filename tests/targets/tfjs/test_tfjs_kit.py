"""The kit's files: they hold whatever a model is called, Node parses them, npm installs them."""

import json
import re
import subprocess

import numpy as np
import pytest
from PIL import Image

from edgepack.bundle.manifest import Manifest
from edgepack.targets.tfjs import integration, node


def run_node(script, *arguments, cwd):
    command = [*node.Node().command(), "--input-type=module", "--eval", script, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def own_files(folder):
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and "runtime" not in path.relative_to(folder).parts
    ]


@pytest.mark.parametrize("which", ["bundle", "attacked"])
def test_all_javascript_parses(which, request):
    folder = request.getfixturevalue(which)
    scripts = [path for path in own_files(folder) if path.suffix == ".js"]
    assert len(scripts) > 10
    for script in scripts:
        command = [*node.Node().command(), "--check", str(script)]
        assert subprocess.run(command, capture_output=True, text=True, timeout=60).stderr == "", script


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


def test_nothing_is_fetched_from_elsewhere(bundle):
    for path in own_files(bundle):
        if path.suffix in (".js", ".ts", ".html", ".css", ".json", ".svg"):
            text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"https?://|//cdn", text), path


def test_it_is_an_npm_package(bundle, tmp_path):
    package = json.loads((bundle / "package.json").read_text())
    assert (package["name"], package["version"]) == ("class-1.net", "1.0.0")
    assert "scripts" not in package
    (tmp_path / "package.json").write_text("{}")
    npm = [*node.Npm().command(), "install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run([*npm, str(bundle)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    script = 'import { load, backends } from "class-1.net"; console.log(typeof load, backends.join())'
    assert run_node(script, cwd=tmp_path) == "function wasm,webgl,webgpu,cpu\n"


@pytest.mark.parametrize(("given", "expected"), [("1.2.3", "1.2.3"), ("1.2", "1.2.0"), ("v7", "0.0.0")])
def test_npm_wants_three_numbers(given, expected):
    manifest = Manifest.model_construct(name="it", version=given)
    assert json.loads(integration._package(manifest).text)["version"] == expected


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
