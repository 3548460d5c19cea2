"""int8 by ai-edge-quantizer's plain recipe and by edgepack, from the same float file and the same calibration samples.

python int8_quality.py [--models imagenet unet ...] [--samples 120] [--judged 200] [--target tflite|torchscript]

Both calibrate with the least and the greatest values; both are judged on samples that neither saw. ``imagenet`` is
EfficientNet-Lite0 with its weights, ``digits`` the classifier of samples/mnist-torch (run their prepare.py first); the others
are those of int8_models.py and int8_torch_models.py. Prints one JSON document: for each model the SQNR in dB, the agreement
and the bytes of both, and of ``plain``, edgepack's without improved integers, which stands in for the recipe where that
refuses a file, and on TorchScript, where there is none; and the time that edgepack's file takes for an inference on one
thread relative to the stock file's. Fails where edgepack's is worse than another by more than 0.3 dB.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from edgepack import parity, registry
from edgepack.events import Step
from edgepack.layout import channels_last
from edgepack.model import LoadRequest, Model
from edgepack.precision.plan import uniform_plan
from edgepack.samples import SampleSet
from edgepack.spec import Arrays, Precision, Signature
from edgepack.target import Artifact, Samples, Target
from edgepack.wrap import InputWrap, Wrap

SAMPLES = Path(__file__).parents[1] / "samples"
WORSE_DB = 0.3
RUNS = 50


class Crops:
    """The sample's crops of photographs, made when they are read."""

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed = count, seed

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Any:
        from crops import labelled

        return ({"image": image} for image, _ in labelled(self._count, self._seed))


Case = tuple[Model, Samples, Samples]
"""A model, samples to calibrate with, and samples to judge by."""


def imagenet(samples: int, judged: int) -> Case:
    from edgepack.targets._torch import framework

    sys.path.insert(0, str(SAMPLES / "imagenet"))
    from model import build

    wrap = Wrap((("image", InputWrap(kind="image", layout="NCHW", mean=(127.0,), std=(128.0,))),))
    shapes = {"image": ((1, 3, 224, 224), "float32")}
    model = framework.adopt(build(), LoadRequest("imagenet", wrap=wrap, shapes=shapes))
    turned, _ = channels_last(model, SampleSet([], []))  # type: ignore[arg-type]
    return turned, Crops(samples, seed=7), Crops(judged, seed=11)


def digits(samples: int, judged: int) -> Case:
    from edgepack.targets._torch import framework

    sys.path.insert(0, str(SAMPLES / "mnist-torch"))
    from model import build

    images = np.load(SAMPLES / "mnist-torch" / "data" / "samples.npz")["image"].transpose(0, 3, 1, 2)
    drawn = [
        {"image": (image[None] / 255 - 0.1307).astype(np.float32) / np.float32(0.3081)} for image in images
    ]
    model = framework.adopt(build(), LoadRequest("digits", shapes={"image": ((1, 1, 28, 28), "float32")}))
    return model, drawn[:samples], drawn[samples : samples + judged]


def random_weights(name: str, form: str) -> Callable[[int, int], Case]:
    def make(samples: int, judged: int) -> Case:
        import keras
        from int8_models import MODELS

        from edgepack.targets._torch import framework as torch

        if name.startswith("torch_"):
            from int8_torch_models import MODELS
        keras.utils.set_random_seed(7)
        made, arrays = MODELS[name](samples + judged)
        shapes = {each: ((1, *values.shape[1:]), "float32") for each, values in arrays.items()}
        if not isinstance(made, keras.Model):
            model = torch.adopt(made, LoadRequest(name, shapes=shapes))
        elif form == "torch":
            from edgepack.targets._keras import framework as keras_on_torch

            model = keras_on_torch.adopt(made, LoadRequest(name))
        else:
            from edgepack.targets._tf import framework as tf

            model = tf.adopt(made, LoadRequest(name))
        specs = model.signature.inputs  # a model's own names may be others, but not their order
        drawn = [
            {spec.name: values[number][None] for spec, values in zip(specs, arrays.values(), strict=True)}
            for number in range(samples + judged)
        ]
        return model, drawn[:samples], drawn[samples:]

    return make


def stock(float32: bytes, signature: Signature, samples: Samples, out: Path) -> Artifact | None:
    """The plain recipe, static_wi8_ai8; None where it refuses the file, as those with loops."""
    from ai_edge_quantizer import quantizer, recipe

    from edgepack.targets.tflite.calibrate import calibrate
    from edgepack.targets.tflite.lowering import FILE

    ranges = calibrate(float32, signature, samples, Step("calibrate"))
    tool = quantizer.Quantizer(bytearray(float32), recipe.static_wi8_ai8())
    try:
        result = tool.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    except ValueError:
        return None
    (out / FILE).write_bytes(bytes(result.quantized_model or b""))
    return Artifact(out, (FILE,))


def judged(target: Target, artifact: Artifact, samples: Samples, golden: list[Arrays]) -> dict[str, Any]:
    found = parity.measure(target.open(artifact), samples, golden)
    worst = min(found.values(), key=lambda each: each.sqnr_db)
    return {"sqnr_db": round(worst.sqnr_db, 2), "agreement": worst.argmax_agreement, "bytes": artifact.bytes}


def relative_time(target: Target, ours: Artifact, other: Artifact, sample: Arrays) -> float:
    """The median of times in turns."""
    meters = [target.meter(each) for each in (ours, other)]
    times = [[meter.time(sample, 3)[-1] for meter in meters] for _ in range(RUNS)]
    mine, its = (median(each) for each in zip(*times, strict=True))
    return round(mine / its, 3)


def compare(target: Target, case: Case, folder: Path) -> dict[str, Any]:
    model, samples, others = case
    golden = [dict(model(sample)) for sample in others]
    lowering = target.lower(model, samples, folder)
    artifacts = {}
    for name in ("float", "stock", "plain", "edgepack"):
        (folder / name).mkdir()
    float32 = lowering.emit(uniform_plan(lowering, Precision.FLOAT32, "auto"), folder / "float")
    by_recipe = None
    if target.name == "tflite":
        by_recipe = stock(float32.main.read_bytes(), model.signature, samples, folder / "stock")
    plan = uniform_plan(lowering, Precision.INT8, "auto")
    artifacts["plain"] = lowering.emit(replace(plan, plain=True), folder / "plain")
    artifacts["stock"] = by_recipe or artifacts["plain"]
    artifacts["edgepack"] = lowering.emit(plan, folder / "edgepack")
    report: dict[str, Any] = {
        name: judged(target, artifact, others, golden) for name, artifact in artifacts.items()
    }
    notes = [note for note in lowering.notes if not note.where]
    report["edgepack"]["kept"] = {
        note.method: [round(note.before_db, 1), round(note.after_db, 1)] for note in notes if note.kept
    }
    report["relative_time"] = relative_time(
        target, artifacts["edgepack"], artifacts["stock"], next(iter(others))
    )
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["imagenet"])
    parser.add_argument("--samples", type=int, default=120)
    parser.add_argument("--judged", type=int, default=200)
    parser.add_argument("--target", choices=["tflite", "torchscript"], default="tflite")
    options = parser.parse_args()
    info = registry.target(options.target)
    form = "torch" if options.target == "torchscript" else "tf"
    os.environ["KERAS_BACKEND"] = {"tf": "tensorflow"}.get(form, form)
    target, made = registry.load_target(info), {"imagenet": imagenet, "digits": digits}
    found = {}
    for name in options.models:
        make = made.get(name) or random_weights(name, form)
        with tempfile.TemporaryDirectory() as folder:
            found[name] = compare(target, make(options.samples, options.judged), Path(folder))
    print(json.dumps(found, indent=2))
    worse = [
        name
        for name, each in found.items()
        if each["edgepack"]["sqnr_db"]
        < max(each[other]["sqnr_db"] for other in ("stock", "plain")) - WORSE_DB
    ]
    if worse:
        raise SystemExit(f"worse than plain integers: {', '.join(worse)}")


if __name__ == "__main__":
    main()
