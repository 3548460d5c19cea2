"""A driver (see edgepack/devices/wire.py) of the fake target, on a device whose arena tells what ails it."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from edgepack_wire import Loaded, Refusal, Tensor, serve

from edgepack.quantization import quantize

sys.path.append(str(Path(__file__).parents[1]))
from fake_target.target import Runner

OUT_OF_OPS, ONE_WEIGHT = 1, 2


def load(path, arena):
    main, ails = Path(path), int(arena)
    if ails == OUT_OF_OPS:
        raise Refusal("There is no DENSE here.", "Write the model without it.")
    runner = Runner(SimpleNamespace(main=main, folder=main.parent))
    if ails == ONE_WEIGHT:
        runner.weights["hidden"][0, 5] += 1.0
    ends = [Tensor(s.name, s.dtype, s.shape) for s in (*runner.signature.inputs, *runner.signature.outputs)]
    (spec,) = runner.signature.inputs

    def run(given):
        stored = np.frombuffer(given[0], spec.dtype).reshape(spec.shape)
        scale = spec.quantization.scale if spec.quantization else 1.0
        answers = runner({spec.name: stored.astype(np.float32) * np.float32(scale)})
        return [quantize(answers[each.name], each).tobytes() for each in runner.signature.outputs]

    return Loaded(ends[:1], ends[1:], run, {"arena": "12 bytes"})


if __name__ == "__main__":
    serve(load)
