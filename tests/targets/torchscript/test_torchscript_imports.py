"""A PyTorch model becomes a bundle in a process that never loads TensorFlow; a bundle is listed without PyTorch."""

import subprocess
import sys

LOWER = """
import sys, tempfile
from pathlib import Path
import torch
from edgepack import registry
from edgepack.model import LoadRequest
from edgepack.spec import Precision
from edgepack.target import Plan
from edgepack.targets._torch import framework
network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
model = framework.adopt(network, LoadRequest("model", shapes={"input": ((1, 3, 8, 8), "float32")}))
sample = {model.signature.inputs[0].name: model.form("torch").example[0].numpy()}
target = registry.load_target(registry.target("torchscript"))
artifact = target.lower(model, [sample], Path()).emit(Plan(Precision.INT8), Path(tempfile.mkdtemp()))
target.open(artifact)(sample)
target.audit(artifact)
print(sorted({"tensorflow", "keras", "litert_torch", "ai_edge_litert"} & set(sys.modules)))
"""

LIST = """
import sys
from edgepack import registry
registry.load_target(registry.target("torchscript"))
print("torch" in sys.modules)
"""


def printed(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_no_other_framework_is_imported():
    assert printed(LOWER) == "[]\n"


def test_the_target_itself_needs_no_torch():
    assert printed(LIST) == "False\n"
