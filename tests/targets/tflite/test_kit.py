"""The kit runs as it stands: Python and C++ against real files, Kotlin and Swift through their grammars."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import ai_edge_litert
import numpy as np
import pytest
import tensorflow as tf
import tree_sitter_kotlin
import tree_sitter_swift
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import quantizer, recipe
from flatbuffers import Builder
from PIL import Image
from tree_sitter import Language, Node, Parser

from edgepack.bundle import literals
from edgepack.bundle.manifest import (
    AuditEntry,
    GateEntry,
    GoldenEntry,
    ImageEntry,
    Manifest,
    MetricsEntry,
    ParityEntry,
    QuantizationEntry,
    SourceEntry,
    TensorEntry,
)
from edgepack.targets.tflite import integration

LIBRARY = Path(ai_edge_litert.__file__).with_name("libLiteRt.so")
HOSTILE = [
    'a"; int injected; //',
    "${injected}$x\\(injected)",
    "line\nbreak\r\u2028\u202e*/ injected",
    "\\",
    "??/",
    "größe 猫 \U0001f600",
    "'''\"\"\"",
    "{{ injected }} {% raw %}",
]
SAMPLES = 6
EDGES = {"min": np.min, "max": np.max}


@dataclass(frozen=True)
class Case:
    """A model, what it was asked, and what its original answered: arrays stacked on a new first axis."""

    data: bytes
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    labels: tuple[str, ...] = ()
    image: str = ""


def picture_model() -> Case:
    """8x8 RGB pixels to four probabilities with labels."""
    random = np.random.default_rng(0)
    kernel = tf.constant(random.normal(size=(3, 3, 3, 8)) / 3, tf.float32)
    dense = tf.constant(random.normal(size=(8, 4)) * 2, tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 3), tf.float32, "image")])
    def run(image):
        hidden = tf.nn.relu(tf.nn.conv2d(image / 127.5 - 1, kernel, 2, "SAME"))
        return {"probabilities": tf.nn.softmax(tf.reduce_mean(hidden, (1, 2)) @ dense)}

    inputs = {"image": np.rint(random.uniform(0, 255, (SAMPLES, 1, 8, 8, 3))).astype(np.float32)}
    return convert(run, inputs, labels=("cat", "dog", "größe", "other"), image="image")


def text_model() -> Case:
    """Ids and features to scores and one number."""
    random = np.random.default_rng(1)
    table = tf.constant(random.normal(size=(50, 6)), tf.float32)
    dense = tf.constant(random.normal(size=(6, 3)), tf.float32)
    ids = tf.TensorSpec((1, 5), tf.int32, "ids")

    @tf.function(input_signature=[ids, tf.TensorSpec((1, 6), tf.float32, "features")])
    def run(ids, features):
        hidden = tf.reduce_mean(tf.gather(table, ids), 1) + features
        return {"scores": hidden @ dense, "level": tf.reduce_sum(hidden, 1, keepdims=True)}

    inputs = {
        "ids": random.integers(0, 50, (SAMPLES, 1, 5)).astype(np.int32),
        "features": random.normal(size=(SAMPLES, 1, 6)).astype(np.float32),
    }
    return convert(run, inputs)


def types_model() -> Case:
    """The element types that the others lack."""
    random = np.random.default_rng(2)
    dense = tf.constant(random.normal(size=(4, 8)), tf.float32)
    flag = tf.TensorSpec((1, 8), tf.bool, "flag")

    @tf.function(input_signature=[flag, tf.TensorSpec((1, 4), tf.uint8, "level")])
    def run(flag, level):
        scores = tf.cast(level, tf.float32) @ dense
        return {"best": tf.argmax(scores, 1), "above": tf.logical_and(scores > 0, flag), "scores": scores}

    inputs = {
        "flag": random.random((SAMPLES, 1, 8)) < 0.5,
        "level": random.integers(0, 256, (SAMPLES, 1, 4)).astype(np.uint8),
    }
    return convert(run, inputs)


def convert(run, inputs: dict[str, np.ndarray], **facts) -> Case:
    module = tf.Module()
    module.run = run
    converter = tf.lite.TFLiteConverter.from_concrete_functions([run.get_concrete_function()], module)
    answers = [run(**{name: values[i] for name, values in inputs.items()}) for i in range(SAMPLES)]
    outputs = {name: np.stack([answer[name].numpy() for answer in answers]) for name in answers[0]}
    return Case(converter.convert(), inputs, outputs, **facts)


def quantized(case: Case) -> Case:
    """All int8, the quantizer's own recipe, with the extremes of all samples (its moving average clips them)."""
    worker = quantizer.Quantizer(bytearray(case.data), recipe.static_wi8_ai8())
    key = next(iter(Interpreter(model_content=case.data).get_signature_list()))
    samples = [{name: values[i] for name, values in case.inputs.items()} for i in range(SAMPLES)]
    seen = [worker.calibrate({key: [sample]}) for sample in samples]
    ranges = {
        tensor: {edge: pick([part[tensor][edge] for part in seen], axis=0) for edge, pick in EDGES.items()}
        for tensor in seen[0]
    }
    return replace(case, data=bytes(worker.quantize(ranges).quantized_model))


def edited(case: Case, edit) -> bytes:
    model = schema.ModelT.InitFromPackedBuf(bytearray(case.data), 0)
    edit(model)
    builder = Builder(len(case.data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def perturbed(case: Case) -> bytes:
    """The same file with every weight's sign turned over."""

    def edit(model):
        graph = model.subgraphs[0]
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is None or len(data) < 24:
                continue
            if tensor.type == schema.TensorType.FLOAT32:
                model.buffers[tensor.buffer].data = (-np.asarray(data).view(np.float32)).view(np.uint8)
            elif tensor.type == schema.TensorType.INT8:
                model.buffers[tensor.buffer].data = np.bitwise_not(np.asarray(data))

    return edited(case, edit)


def hostile(case: Case) -> Case:
    """The same model with names and labels that want to be code."""
    names = dict(zip((*case.inputs, *case.outputs), HOSTILE, strict=False))

    def edit(model):
        for tensor in (*model.signatureDefs[0].inputs, *model.signatureDefs[0].outputs):
            tensor.name = names[tensor.name.decode()]

    return Case(
        edited(case, edit),
        {names[name]: values for name, values in case.inputs.items()},
        {names[name]: values for name, values in case.outputs.items()},
        tuple(HOSTILE[: len(case.labels)]),
        names.get(case.image, ""),
    )


def manifest_of(case: Case, precision: str) -> Manifest:
    runner = Interpreter(model_content=case.data).get_signature_runner()

    def entry(name: str, details: dict) -> TensorEntry:
        scale, zero_point = details["quantization"]
        return TensorEntry(
            name=name,
            shape=tuple(int(size) for size in details["shape"]),
            dtype=np.dtype(details["dtype"]).name,
            quantization=QuantizationEntry(scale=scale, zero_point=zero_point) if scale else None,
            image=ImageEntry(channels="rgb") if name == case.image else None,
        )

    # One value has no direction: what is left to judge it by is what was measured.
    parity = {
        name: MetricsEntry(sqnr_db=25, max_abs=0.15 if values[0].size == 1 else 0.01, cosine=0.99)
        for name, values in case.outputs.items()
    }
    return Manifest(
        name="class-1.net",
        version="1.0.0",
        target="tflite",
        precision=precision,
        artifact=("model.tflite",),
        source=SourceEntry(name="model.keras", sha256="0" * 64),
        inputs=tuple(entry(*item) for item in runner.get_input_details().items()),
        outputs=tuple(entry(*item) for item in runner.get_output_details().items()),
        labels=case.labels,
        audit=AuditEntry(
            ops_total=0,
            ops_by_precision={},
            tensors_by_dtype={},
            bytes_by_dtype={},
            float_islands=(),
            full_int8=False,
        ),
        gate=GateEntry(expression="", passed=True),
        parity={"host": ParityEntry(passed=True, samples=SAMPLES, outputs=parity)},
        golden=GoldenEntry(measured=SAMPLES, shipped=SAMPLES),
        command="edgepack build",
        toolchain={},
    )


def write_bundle(case: Case, precision: str, bundle: Path) -> Path:
    (bundle / "golden").mkdir(parents=True)
    (bundle / "model.tflite").write_bytes(case.data)
    np.savez(bundle / "golden" / "inputs.npz", **case.inputs)
    np.savez(bundle / "golden" / "outputs.npz", **case.outputs)
    golden = {f"inputs/{name}": values[0] for name, values in case.inputs.items()}
    golden |= {f"outputs/{name}": values[0] for name, values in case.outputs.items()}
    for file in integration.files(manifest_of(case, precision), golden):
        path = bundle / "kit" / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, encoding="utf-8")
    return bundle


MODELS = {"picture": picture_model, "text": text_model, "types": types_model}
CASES = ["picture-float32", "picture-int8", "text-float32", "text-int8", "types-float32"]


def build(name: str, folder: Path) -> tuple[Case, Path]:
    model, precision, *names = name.split("-")
    case = MODELS[model]()
    case = quantized(case) if precision == "int8" else case
    case = hostile(case) if names else case
    return case, write_bundle(case, precision, folder / "bundle")


@pytest.fixture(scope="module", params=[*CASES, "picture-int8-hostile", "text-float32-hostile"])
def built(request, tmp_path_factory) -> tuple[Case, Path]:
    return build(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module", params=["picture-float32", "picture-int8-hostile"])
def picture(request, tmp_path_factory) -> tuple[Case, Path]:
    return build(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module", params=["picture-int8-hostile", "text-float32-hostile"])
def attacked(request, tmp_path_factory) -> Path:
    return build(request.param, tmp_path_factory.mktemp(request.param))[1]


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600)


def test_python_self_test(built):
    case, bundle = built
    done = run(sys.executable, bundle / "kit" / "python" / "edgepack_model.py")
    assert (done.returncode, done.stdout) == (0, "PASS\n"), done.stderr
    (bundle / "model.tflite").write_bytes(perturbed(case))
    done = run(sys.executable, bundle / "kit" / "python" / "edgepack_model.py")
    (bundle / "model.tflite").write_bytes(case.data)
    assert done.returncode == 1
    assert done.stdout.startswith("FAIL: ")


def test_python_tests_prove_every_output(built):
    case, bundle = built
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", bundle / "kit" / "python")
    done = run(*command)
    assert (done.returncode, f"{len(case.outputs)} passed" in done.stdout) == (0, True), done.stdout
    (bundle / "model.tflite").write_bytes(perturbed(case))
    done = run(*command)
    (bundle / "model.tflite").write_bytes(case.data)
    assert done.returncode == 1
    assert "is not what the original answers to golden/inputs.npz" in done.stdout


@pytest.mark.parametrize("path", ["android/EdgepackModelTest.kt", "ios/EdgepackModelTests.swift"])
def test_kotlin_and_swift_test_every_output(built, path):
    case, bundle = built
    text = (bundle / "kit" / path).read_text()
    tests = re.findall(r"(?:fun|func) (\w+)IsWhatTheOriginalAnswers\(", text)
    assert len({test.lower() for test in tests}) == len(case.outputs)
    write = literals.kotlin if path.endswith("kt") else literals.swift
    assert all(f"verify({write(name)})" in text for name in case.outputs)
    assert f'{write("model.tflite")}, "golden.txt"' in text


def test_python_pictures_and_ranking(picture, tmp_path):
    case, bundle = picture
    pixels = case.inputs[case.image][0, 0].astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); from edgepack_model import Model\n"
        "model = Model(); name = next(iter(model.inputs))\n"
        "print(json.dumps(model.top_k(model.predict({name: model.from_image(sys.argv[2])}), k=2)))"
    )
    done = run(sys.executable, "-c", script, bundle / "kit" / "python", tmp_path / "picture.png")
    best = json.loads(done.stdout)
    expected = next(iter(case.outputs.values()))[0, 0]
    assert best[0][0] == case.labels[int(expected.argmax())]
    assert best[0][1] == pytest.approx(float(expected.max()), abs=0.05)
    assert len(best) == 2


def test_cpp_self_test(built, tmp_path):
    case, bundle = built
    kit, program = bundle / "kit", tmp_path / "self_test"
    flags = ("-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
    compiled = run("g++", *flags, "-o", program, kit / "cpp" / "main.cpp", "-ldl")
    assert compiled.returncode == 0, compiled.stderr
    done = run(program, LIBRARY, bundle / "model.tflite", kit / "golden.txt")
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["PASS"]), done.stdout + done.stderr
    (tmp_path / "other.tflite").write_bytes(perturbed(case))
    done = run(program, LIBRARY, tmp_path / "other.tflite", kit / "golden.txt")
    assert done.returncode == 1
    assert "is not what the original answers" in done.stdout


def test_cpp_refuses_another_models_file(tmp_path):
    """Other scales would silently give wrong values."""
    bundle = write_bundle(picture_model(), "float32", tmp_path / "bundle")
    program = tmp_path / "self_test"
    assert (
        run("g++", "-std=c++17", "-o", program, bundle / "kit" / "cpp" / "main.cpp", "-ldl").returncode == 0
    )
    (tmp_path / "int8.tflite").write_bytes(quantized(picture_model()).data)
    done = run(program, LIBRARY, tmp_path / "int8.tflite", bundle / "kit" / "golden.txt")
    assert done.returncode == 1
    assert "not the file that the kit was made for" in done.stdout


@pytest.mark.parametrize(
    ("path", "grammar"),
    [
        ("android/EdgepackModel.kt", tree_sitter_kotlin),
        ("android/EdgepackModelTest.kt", tree_sitter_kotlin),
        ("ios/EdgepackModel.swift", tree_sitter_swift),
        ("ios/EdgepackModelTests.swift", tree_sitter_swift),
    ],
)
def test_kotlin_and_swift_parse(built, path, grammar):
    _, bundle = built
    tree = Parser(Language(grammar.language())).parse((bundle / "kit" / path).read_bytes())
    assert broken(tree.root_node) == []


def broken(node: Node) -> list[str]:
    if node.is_error or node.is_missing:
        return [f"line {node.start_point[0] + 1}: {node.text!r}"]
    return [
        found for child in node.children if child.has_error or child.is_missing for found in broken(child)
    ]


def test_hostile_names_and_labels_stay_within_string_literals(attacked):
    """Less its string literals, a file holds nothing of a hostile text but letters and digits, as an identifier."""
    for path in (
        "android/EdgepackModel.kt",
        "android/EdgepackModelTest.kt",
        "ios/EdgepackModel.swift",
        "ios/EdgepackModelTests.swift",
        "cpp/edgepack_model.hpp",
        "README.md",
    ):
        text = (attacked / "kit" / path).read_text(encoding="utf-8")
        bare = re.sub(r'"(\\.|[^"\\\n])*"', '""', text)
        assert not re.search(r"int injected|injected\)|/ injected|[猫ö\u202e\u2028]|\?\?/", bare), path


def test_identifiers_are_valid_and_distinct():
    names = ["class", "input:0", "input_0", "Input0", "3d", "猫", "", "URL", "pixel_values", 'a"b', "Class"]
    made = literals.identifiers(names)
    assert made == [
        "class_", "input0", "input02", "input03", "tensor3d", "tensor", "tensor2", "url", "pixelValues", "aB", "class_2",
    ]  # fmt: skip


def test_a_kit_of_many_labels_keeps_each_method_below_the_jvms_64_kb(tmp_path):
    case = picture_model()
    labels = tuple(f"label {i}" for i in range(21_841))
    files = integration.files(
        manifest_of(case, "float32").model_copy(update={"labels": labels}),
        {"inputs/image": case.inputs["image"][0], "outputs/probabilities": case.outputs["probabilities"][0]},
    )
    text = {file.path: file.text for file in files}["android/EdgepackModel.kt"]
    pieces = re.findall(r"fun labels\d+\(\): List<String> = listOf\((.*?)\n\)", text, re.DOTALL)
    assert sum(piece.count('"label') for piece in pieces) == 21_841
    assert max(piece.count('"label') for piece in pieces) * 8 < 65_536  # dup, sipush, ldc_w, aastore
