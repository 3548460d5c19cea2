"""Run every .ptl of a folder in the PyTorch that is on the path, whatever its age; print JSON: answers, or why not.

python replay_ptl.py FOLDER

Beside each NAME.ptl lies NAME.npz with its inputs, in_0, in_1, ..., and the answers of the PyTorch that wrote it, out_0, ...
"""

import json
import math
import os
import sys
from pathlib import Path

import numpy as np

sys.setdlopenflags(os.RTLD_LAZY)  # of CUDA there are only empty libraries (oldest_torch.py)

import torch  # noqa: E402
from torch.jit.mobile import _load_for_lite_interpreter  # noqa: E402


def arrays(stored, part):
    return [stored[f"{part}_{i}"] for i in range(sum(name.startswith(part) for name in stored.files))]


def sqnr_db(expected, found):
    """300 for an exact match, as edgepack counts it."""
    noise = float(np.square(expected.astype(np.float64) - found).sum())
    return (
        min(300.0, 10 * math.log10(float(np.square(expected.astype(np.float64)).sum()) / noise))
        if noise
        else 300.0
    )


def replay(file):
    """The least SQNR of the outputs, in dB, or the first line of the error."""
    stored = np.load(file.with_suffix(".npz"))
    try:
        module = _load_for_lite_interpreter(str(file))
        with torch.no_grad():
            made = module(*(torch.from_numpy(each) for each in arrays(stored, "in")))
    except RuntimeError as error:
        return {"error": str(error).strip()[:400]}
    found = made if isinstance(made, (tuple, list)) else (made,)
    return {
        "db": min(sqnr_db(old, new.numpy()) for old, new in zip(arrays(stored, "out"), found, strict=True))
    }


def main(folder):
    torch.backends.quantized.engine = "qnnpack"
    schemas = {}
    for schema in torch._C._jit_get_all_schemas():
        name = f"{schema.name}.{schema.overload_name}".rstrip(".")
        schemas[name] = [argument.name for argument in schema.arguments]
    models = {file.stem: replay(file) for file in sorted(Path(folder).glob("*.ptl"))}
    print(json.dumps({"torch": torch.__version__, "models": models, "schemas": schemas}))


if __name__ == "__main__":
    main(sys.argv[1])
