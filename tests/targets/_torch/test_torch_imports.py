"""PyTorch sources know nothing of TensorFlow, nor of the targets."""

import json
import subprocess
import sys

SCRIPT = """
import json, sys, torch
from edgepack.model import LoadRequest
from edgepack.spec import TensorSpec
from edgepack.targets._torch import framework
made = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Softmax(-1))
model = framework.adopt(made, LoadRequest("model", sample_specs=(TensorSpec("input", (3,), "float32"),)))
torch.jit.save(torch.jit.script(made.eval()), sys.argv[1])
from pathlib import Path
framework.load(LoadRequest("model", Path(sys.argv[1]), sample_specs=(TensorSpec("input", (3,), "float32"),)))
print(json.dumps(sorted(sys.modules)))
"""


def test_building_a_torch_model_imports_no_other_framework(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "model.pt")], capture_output=True, text=True, check=True
    )
    modules = json.loads(done.stdout.splitlines()[-1])
    roots = {name.partition(".")[0] for name in modules}
    assert "torch" in roots
    assert not roots & {"tensorflow", "keras", "tf_keras", "jax", "ai_edge_litert", "litert_torch", "onnx"}
    assert not [name for name in modules if name.startswith("edgepack.targets._tf")]
    assert not [name for name in modules if name.startswith("edgepack.pipeline")]
