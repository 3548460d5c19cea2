"""A small bundle, and the same with names and labels that want to be code."""

import json
from types import SimpleNamespace

import numpy as np
import tensorflow as tf

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

HOSTILE = [
    '"]; injected(); //',
    "</script><script>injected()</script>",
    "`${injected()}` ```",
    "*/ injected() /*\u2028\u202e",
    "{{ injected }} größe 猫 \U0001f600",
]
SAMPLES = 3


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


def write_bundle(out, labels=("cat", "dog", "größe", "other"), names=("image", "probabilities")):
    """A bundle of Picture, its input and output renamed."""
    out.mkdir(parents=True)
    model = framework.adopt(Picture(), LoadRequest("model"))
    artifact = lower(model.form("tf")).emit(Plan(Precision.FLOAT32), out)
    graph = json.loads(artifact.main.read_text())
    for part, name in zip(("inputs", "outputs"), names, strict=True):
        graph["signature"][part] = dict(zip([name], graph["signature"][part].values(), strict=True))
    artifact.main.write_text(json.dumps(graph))
    pictures = np.rint(np.random.default_rng(1).uniform(0, 255, (SAMPLES, 1, 8, 8, 3))).astype(np.float32)
    answers = np.stack([model({"image": each})["probabilities"] for each in pictures])
    (out / "golden").mkdir()
    np.savez_compressed(out / "golden" / "inputs.npz", **{names[0]: pictures})
    np.savez_compressed(out / "golden" / "outputs.npz", **{names[1]: answers})
    manifest = Manifest(
        name="Class-1.net",
        version="1.0",
        target="tfjs",
        precision="float32",
        artifact=artifact.files,
        source=SourceEntry(name="model.keras", sha256="0" * 64),
        inputs=(TensorEntry(name=names[0], shape=(1, 8, 8, 3), dtype="float32", image=ImageEntry(channels="rgb")),),
        outputs=(TensorEntry(name=names[1], shape=(1, 4), dtype="float32", top_k=2),),
        labels=labels,
        audit=AuditEntry(
            ops_total=0, ops_by_precision={}, tensors_by_dtype={}, bytes_by_dtype={}, float_islands=(), full_int8=False
        ),
        gate=GateEntry(expression="sqnr_db>=60, argmax_agreement>=0.95", passed=True),
        parity={
            "host": ParityEntry(
                passed=True,
                samples=SAMPLES,
                outputs={names[1]: MetricsEntry(sqnr_db=120, max_abs=1e-6, cosine=1, argmax_agreement=1)},
            )
        },
        golden=GoldenEntry(measured=SAMPLES, shipped=SAMPLES),
        command="edgepack build",
        toolchain={},
    )  # fmt: skip
    download = kit.write(SimpleNamespace(kit_folder="", kit=integration.files), manifest, out)
    seal(out, manifest.model_copy(update={"download": download}))
    return artifact


def write_hostile_bundle(out):
    return write_bundle(out, labels=tuple(HOSTILE[:4]), names=(HOSTILE[1], HOSTILE[4]))
