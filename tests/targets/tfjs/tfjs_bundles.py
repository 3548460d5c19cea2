"""A small bundle, and the same with names and labels that want to be code."""

import json
import tempfile
from pathlib import Path
from types import SimpleNamespace

import flatbuffers
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from edgepack.bundle import kit
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
from edgepack.bundle.writer import seal
from edgepack.model import LoadRequest
from edgepack.spec import Precision
from edgepack.target import Plan
from edgepack.targets._tf import framework
from edgepack.targets.tfjs import integration
from edgepack.targets.tfjs.lower import lower
from edgepack.targets.tflite.target import target as tflite

HOSTILE = [
    '"]; injected(); //',
    "</script><script>injected()</script>",
    "`${injected()}` ```",
    "*/ injected() /*\u2028\u202e",
    "{{ injected }} größe 猫 \U0001f600",
]
SAMPLES = 3
LABELS = ("cat", "dog", "größe", "other")
NAMES = ("image", "probabilities")


class Picture(tf.Module):
    """8x8 RGB pixels to four probabilities."""

    def __init__(self):
        super().__init__()
        random = np.random.default_rng(0)
        self.kernel = tf.Variable(random.normal(size=(3, 3, 3, 8)) / 3, dtype=tf.float32)
        self.dense = tf.Variable(random.normal(size=(8, 4)) * 2, dtype=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.float32, "image")])
    def __call__(self, image):
        hidden = tf.nn.relu(tf.nn.conv2d(image / 127.5 - 1, self.kernel, 2, "SAME"))
        return {"probabilities": tf.nn.softmax(tf.reduce_mean(hidden, (1, 2)) @ self.dense)}


def write_bundle(out, labels=LABELS, names=NAMES):
    """A bundle of Picture, its input and output renamed."""
    out.mkdir(parents=True)
    model = adopted(Picture())
    artifact = lower(model.form("tf")).emit(Plan(Precision.FLOAT32), out)
    graph = json.loads(artifact.main.read_text())
    for part, name in zip(("inputs", "outputs"), names, strict=True):
        graph["signature"][part] = dict(zip([name], graph["signature"][part].values(), strict=True))
    artifact.main.write_text(json.dumps(graph))
    finish(out, artifact, model, pictures(), labels=labels, renamed=dict(zip(NAMES, names, strict=True)))
    return artifact


def write_litert_bundle(
    out, model=None, samples=None, precision=Precision.INT8, labels=LABELS, names=None, **facts
):
    """The same around LiteRT.js, full int8 unless told otherwise."""
    out.mkdir(parents=True)
    model, samples = model or adopted(Picture()), samples or pictures()
    with tempfile.TemporaryDirectory() as folder:
        lowering = tflite.lower(model, samples, Path(folder))
        artifact = lowering.emit(Plan(precision, io="float"), out)
    renamed = dict(zip(NAMES, names or NAMES, strict=True))
    if names:
        edit(artifact.main, lambda content: rename(content, renamed))
    gate = GateEntry(expression="sqnr_db>=25, argmax_agreement>=0.95", passed=True)
    facts = {
        "runtime": "litert",
        "backends": {"wasm": ""},
        "precision": precision.value,
        "gate": gate,
    } | facts
    finish(
        out, artifact, model, samples, labels=labels, renamed=renamed, audit=tflite.audit(artifact), **facts
    )
    return artifact


def adopted(made):
    return framework.adopt(made, LoadRequest("model"))


def pictures():
    drawn = np.rint(np.random.default_rng(1).uniform(0, 255, (SAMPLES, 1, 8, 8, 3))).astype(np.float32)
    return [{"image": each} for each in drawn]


def rename(content, renamed):
    """Other names in the signature."""
    for tensor in (*content.signatureDefs[0].inputs, *content.signatureDefs[0].outputs):
        tensor.name = renamed[tensor.name.decode()].encode()


def edit(tflite_file, change):
    """``change`` what is in a .tflite; the official schema's own code reads and writes it."""
    content = schema.ModelT.InitFromPackedBuf(tflite_file.read_bytes(), 0)
    change(content)
    builder = flatbuffers.Builder()
    builder.Finish(content.Pack(builder), b"TFL3")
    tflite_file.write_bytes(bytes(builder.Output()))


def finish(out, artifact, model, samples, *, labels, renamed, audit=None, **facts):
    """Golden vectors, kit and manifest around an artifact; the inputs and outputs go by what they were ``renamed``."""
    answers = [model(each) for each in samples]
    (out / "golden").mkdir()
    for part, arrays in (("inputs", samples), ("outputs", answers)):
        stacked = {renamed.get(name, name): np.stack([each[name] for each in arrays]) for name in arrays[0]}
        np.savez_compressed(out / "golden" / part, **stacked)
    entries = {
        part: tuple(
            TensorEntry(
                name=renamed.get(name, name),
                shape=array.shape,
                dtype=array.dtype.name.replace("int64", "int32"),
                image=ImageEntry(channels="rgb") if name == "image" else None,
                top_k=2 if name == "probabilities" else None,
            )
            for name, array in arrays.items()
        )
        for part, arrays in (("inputs", samples[0]), ("outputs", answers[0]))
    }
    measured = MetricsEntry(sqnr_db=120, max_abs=1e-6, cosine=1, argmax_agreement=1)
    manifest = Manifest(**{
        "name": "Class-1.net",
        "version": "1.0",
        "target": "tfjs",
        "precision": "float32",
        "artifact": artifact.files,
        "source": SourceEntry(name="model.keras", sha256="0" * 64),
        **entries,
        "labels": labels,
        "audit": AuditEntry(
            ops_total=len(audit.ops) if audit else 0,
            ops_by_precision=audit.ops_by_precision if audit else {},
            tensors_by_dtype={},
            bytes_by_dtype={},
            float_islands=(),
            full_int8=bool(audit and audit.full_int8),
        ),
        "gate": GateEntry(expression="sqnr_db>=60, argmax_agreement>=0.95", passed=True),
        "parity": {
            "host": ParityEntry(
                passed=True,
                samples=len(samples),
                outputs={entry.name: measured for entry in entries["outputs"]},
            )
        },
        "golden": GoldenEntry(measured=len(samples), shipped=len(samples)),
        "command": "edgepack build",
        "toolchain": {},
        **facts,
    })  # fmt: skip
    download = kit.write(SimpleNamespace(kit_folder="", kit=integration.files), manifest, out)
    seal(out, manifest.model_copy(update={"download": download}))


def write_hostile_bundle(out, write=write_bundle):
    return write(out, labels=tuple(HOSTILE[:4]), names=(HOSTILE[1], HOSTILE[4]))
