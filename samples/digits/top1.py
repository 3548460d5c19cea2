"""Top-1 accuracy of the original and of a built tflite bundle, on the labelled digits:

python top1.py dist/digits-1.0.0-tflite-int8
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

HERE = Path(__file__).parent
SCALE = np.float32(1 / 255)  # as in edgepack.toml


def run_original(images: np.ndarray) -> np.ndarray:
    """Probabilities (N, 10). The bare network wants its pixels scaled."""
    model = keras.saving.load_model(HERE / "data" / "digits.keras")
    return model.predict(images * SCALE, verbose=0)


def run_bundle(file: Path, images: np.ndarray) -> np.ndarray:
    """Probabilities (N, 10). The bundle takes raw pixels, as its own integers if it is quantized."""
    interpreter = Interpreter(model_path=str(file))
    interpreter.allocate_tensors()
    [source], [result] = interpreter.get_input_details(), interpreter.get_output_details()

    outputs = []
    for image in images:
        interpreter.set_tensor(source["index"], quantize(image[None], source))
        interpreter.invoke()
        outputs.append(dequantize(interpreter.get_tensor(result["index"])[0], result))
    return np.stack(outputs)


def quantize(values: np.ndarray, details: dict) -> np.ndarray:
    """Real values as what the tensor stores."""
    scale, zero_point = details["quantization"]
    if not scale:  # a float tensor
        return values.astype(details["dtype"])
    limits = np.iinfo(details["dtype"])
    return np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(details["dtype"])


def dequantize(stored: np.ndarray, details: dict) -> np.ndarray:
    """What the tensor stores as real values."""
    scale, zero_point = details["quantization"]
    return (stored.astype(np.float32) - zero_point) * scale if scale else stored


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    [file] = Path(sys.argv[1]).glob("*.tflite")
    labelled = np.load(HERE / "data" / "labelled.npz")
    images, labels = labelled["image"].astype(np.float32), labelled["label"]

    original = float((run_original(images).argmax(axis=1) == labels).mean())
    bundle = float((run_bundle(file, images).argmax(axis=1) == labels).mean())
    report = {"digits": len(labels), "original": original, "bundle": bundle, "difference": bundle - original}
    print(json.dumps({key: round(value, 5) for key, value in report.items()}, indent=2))


if __name__ == "__main__":
    main()
