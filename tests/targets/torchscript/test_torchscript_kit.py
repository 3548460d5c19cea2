"""The kit runs as it stands: Python and C++ against real files, Kotlin and Swift through their grammars."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import tree_sitter_kotlin
import tree_sitter_swift
from PIL import Image
from torch import nn
from tree_sitter import Language, Parser

from edgepack.bundle.manifest import (
    AuditEntry,
    GateEntry,
    GoldenEntry,
    ImageEntry,
    Manifest,
    MetricsEntry,
    ParityEntry,
    SourceEntry,
    TensorEntry,
)
from edgepack.spec import Precision, Signature
from edgepack.targets.torchscript import integration
from edgepack.targets.torchscript.writer import MODEL

HOSTILE = 'a"; int injected; // ${injected}$x\\(injected)\r\u2028\u202e*/ injected \\ ??/ 猫 \'\'\'""" {{ injected }}'
TORCH = Path(torch.__file__).parent


class Picture(nn.Module):
    """8x8 RGB pixels to four probabilities."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3, 2), nn.Linear(8, 4)

    def forward(self, image):
        return (self.head(torch.relu(self.conv(image.permute(0, 3, 1, 2) / 2)).mean((2, 3))) * 9).softmax(1)


class Text(nn.Module):
    """Ids and features to scores and the place of the best."""

    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(50, 6), nn.Linear(6, 3)

    def forward(self, ids, features):
        scores = self.head(self.table(ids).mean(1) + features)
        return scores, scores.argmax(1).to(torch.int32)


def renamed(specs, name):
    return tuple(replace(spec, name=f"{name} {i}") for i, spec in enumerate(specs))


def manifest_of(signature, precision, labels, oldest="1.13.1"):
    def entry(spec):
        image = ImageEntry(channels="rgb") if spec.shape == (1, 8, 8, 3) else None
        return TensorEntry(name=spec.name, shape=spec.shape, dtype=spec.dtype, image=image)

    metrics = MetricsEntry(sqnr_db=30, max_abs=0.05 if precision == "int8" else 1e-5, cosine=1)
    parity = ParityEntry(passed=True, samples=4, outputs={spec.name: metrics for spec in signature.outputs})
    return Manifest(
        name="a-model",
        version="1.0",
        target="torchscript",
        precision=precision,
        artifact=(MODEL, "operators.yaml"),
        source=SourceEntry(name="model.py", sha256="0" * 64),
        inputs=tuple(map(entry, signature.inputs)),
        outputs=tuple(map(entry, signature.outputs)),
        labels=labels,
        audit=AuditEntry(
            ops_total=0,
            ops_by_precision={},
            tensors_by_dtype={},
            bytes_by_dtype={},
            float_islands=(),
            full_int8=False,
            requires={"bytecode version": "8", "oldest PyTorch": oldest},
        ),
        gate=GateEntry(expression="", passed=True),
        parity={"host": parity},
        golden=GoldenEntry(measured=4, shipped=4),
        command="edgepack build",
        toolchain={},
    )


def bundle_of(made, precision, hostile=False, oldest="1.13.1"):
    """A bundle's folder: artifact, golden vectors, kit."""
    artifact = made.emit(Precision(precision))
    signature = made.program.signature
    samples = made.held_back[:4]
    answers = [made.original(sample) for sample in samples]
    names = [spec.name for spec in (*signature.inputs, *signature.outputs)]
    if hostile:
        signature = Signature(renamed(signature.inputs, HOSTILE), renamed(signature.outputs, HOSTILE[::-1]))
    called = dict(zip(names, [spec.name for spec in (*signature.inputs, *signature.outputs)], strict=True))
    stacked = [
        {called[name]: np.stack([each[name] for each in arrays]) for name in arrays[0]}
        for arrays in (samples, answers)
    ]
    (artifact.folder / "golden").mkdir()
    for part, arrays in zip(("inputs", "outputs"), stacked, strict=True):
        np.savez(artifact.folder / "golden" / f"{part}.npz", **arrays)
    golden = {
        f"{part}/{name}": values[0]
        for part, arrays in zip(("inputs", "outputs"), stacked, strict=True)
        for name, values in arrays.items()
    }
    labels = (HOSTILE, "dog", "größe", "other") if hostile else ("cat", "dog", "größe", "other")
    for file in integration.files(manifest_of(signature, precision, labels, oldest), golden):
        path = artifact.folder / "kit" / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.bytes())
    return artifact.folder


def made_of(name, bench):
    if name == "picture":
        return bench(Picture(), image=(1, 8, 8, 3))
    return bench(Text(), ids=((1, 5), "int64"), features=(1, 6))


KINDS = ["picture-float32", "picture-int8", "picture-int8-hostile", "text-float32"]


def bundle_for(kind, bench):
    name, precision, *hostile = kind.split("-")
    return bundle_of(made_of(name, bench), precision, bool(hostile))


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("kind", KINDS)
def test_the_python_kit_proves_the_model_and_notices_another(kind, bench):
    bundle = bundle_for(kind, bench)
    script = bundle / "kit" / "python" / "edgepack_model.py"
    tests = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", script.parent)
    done = run(sys.executable, script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "PASS\n", "")
    done = run(*tests)
    assert done.returncode == 0, done.stdout
    torch.manual_seed(99)
    other = made_of(kind.partition("-")[0], bench).emit(Precision.FLOAT32)
    (bundle / MODEL).write_bytes(other.main.read_bytes())
    done = run(sys.executable, script)
    assert done.returncode == 1
    assert done.stdout.startswith("FAIL: ")
    done = run(*tests)
    assert done.returncode == 1
    assert "is not what the original answers to golden/inputs.npz" in done.stdout


def test_pictures_and_ranking_in_python(bench, tmp_path):
    made = bench(Picture(), image=(1, 8, 8, 3))
    folder = bundle_of(made, "float32")
    pixels = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); from edgepack_model import Model\n"
        "model = Model()\n"
        "print(json.dumps(model.top_k(model.predict({'image': model.from_image(sys.argv[2])}), k=2)))"
    )
    done = run(sys.executable, "-c", script, folder / "kit" / "python", tmp_path / "picture.png")
    best = json.loads(done.stdout)
    expected = made.original({"image": pixels[None].astype(np.float32)})["output_0"][0]
    assert best[0] == [
        ("cat", "dog", "größe", "other")[expected.argmax()],
        pytest.approx(expected.max(), 1e-4),
    ]
    assert len(best) == 2


def test_the_cpp_kit_compiles_and_proves_the_model(bench, tmp_path):
    folder = bundle_of(bench(Picture(), image=(1, 8, 8, 3)), "int8", hostile=True)
    kit, program = folder / "kit", tmp_path / "self_test"
    paths = [f"-I{kit / 'cpp'}", f"-isystem{TORCH / 'include'}", f"-L{TORCH / 'lib'}"]
    linked = [f"-Wl,-rpath,{TORCH / 'lib'}", "-ltorch_cpu", "-lc10"]
    flags = ("-std=c++20", "-O0", "-Wall", "-Wextra", "-Werror")
    compiled = run("g++", *flags, *paths, kit / "cpp" / "main.cpp", "-o", program, *linked)
    assert compiled.returncode == 0, compiled.stderr
    done = run(program, folder / MODEL, kit / "golden.txt")
    assert (done.returncode, done.stdout) == (0, "PASS\n"), done.stderr


@pytest.mark.parametrize(
    ("path", "grammar"),
    [
        ("android/EdgepackModel.kt", tree_sitter_kotlin),
        ("android/EdgepackModelTest.kt", tree_sitter_kotlin),
        ("ios/EdgepackModel.swift", tree_sitter_swift),
        ("ios/EdgepackModelTests.swift", tree_sitter_swift),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_kotlin_and_swift_parse(kind, path, grammar, bench):
    bundle = bundle_for(kind, bench)
    tree = Parser(Language(grammar.language())).parse((bundle / "kit" / path).read_bytes())
    assert broken(tree.root_node) == []


def broken(node):
    if node.is_error or node.is_missing:
        return [f"line {node.start_point[0] + 1}: {node.text!r}"]
    return [
        found for child in node.children if child.has_error or child.is_missing for found in broken(child)
    ]


def test_hostile_names_stay_within_string_literals(bench):
    folder = bundle_of(bench(Picture(), image=(1, 8, 8, 3)), "int8", hostile=True)
    for path in (
        "android/EdgepackModel.kt",
        "android/EdgepackModelTest.kt",
        "ios/EdgepackModel.swift",
        "ios/EdgepackModelTests.swift",
        "cpp/edgepack_model.hpp",
        "README.md",
    ):
        text = (folder / "kit" / path).read_text(encoding="utf-8")
        bare = re.sub(r'"(\\.|[^"\\\n])*"', '""', text)
        assert not re.search(r"int injected|injected\)|/ injected|[猫ö\u202e\u2028]|\?\?/", bare), path


def words(bundle):
    return " ".join((bundle / "kit" / "README.md").read_text().split())


def test_the_readme_says_which_pytorch_and_when_no_published_library_will_do(bench):
    made = bench(Picture(), image=(1, 8, 8, 3))
    assert "PyTorch 1.13.1 or newer, whose lite interpreter reads bytecode version 8" in words(
        bundle_of(made, "float32")
    )
    newer = words(bundle_of(made, "float32", oldest="2.4.1"))
    assert "2.1.0, too old for this model" in newer
    assert "too old" not in words(bundle_of(made, "float32", oldest="2.1.2"))
