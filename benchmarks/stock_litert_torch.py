"""What one writes by hand without edgepack: a PyTorch module to full int8 TFLite, by litert-torch and ai-edge-quantizer.

python stock_litert_torch.py FILE.py:FACTORY SAMPLES.npz OUT.tflite
"""

import importlib.util
import sys
import tempfile
from pathlib import Path

import litert_torch
import numpy as np
import torch
from ai_edge_quantizer import quantizer, recipe


def load(reference: str) -> torch.nn.Module:
    file, _, factory = reference.rpartition(":")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, factory)()


def main(reference: str, samples_file: str, out_file: str) -> None:
    model = load(reference).eval()
    (samples,) = np.load(samples_file).values()

    with tempfile.TemporaryDirectory() as folder:
        float32 = f"{folder}/float32.tflite"
        litert_torch.convert(model, (torch.from_numpy(samples[:1]),)).export(float32)
        tool = quantizer.Quantizer(float32, recipe.static_wi8_ai8())
        calibration = tool.calibrate({"serving_default": [{"args_0": sample[None]} for sample in samples]})
        tool.quantize(calibration).export_model(out_file)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
