"""The core knows no ML framework: not by name in its source, and not in memory once it is imported."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import edgepack

FRAMEWORKS = {
    "tensorflow", "keras", "tf_keras", "torch", "torchvision", "jax", "jaxlib", "flax", "onnx", "onnxruntime",
    "openvino", "tensorflowjs", "executorch", "litert_torch", "ai_edge_litert", "ai_edge_quantizer", "ai_edge_torch",
    "tflite_runtime", "h5py",
}  # fmt: skip
HEAVY = {"numpy", "pydantic", "matplotlib", "PIL", "jinja2", "rich"}
CORE = [
    path
    for path in sorted(Path(edgepack.__file__).parent.rglob("*.py"))
    if "targets" not in path.relative_to(Path(edgepack.__file__).parent).parts
]


def modules_after(code: str) -> set[str]:
    """The top-level modules in a fresh interpreter that ran ``code``."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "module", ["edgepack", "edgepack.cli", "edgepack.pipeline", "edgepack.jobs", "edgepack.worker"]
)
def test_importing_the_core_brings_no_framework(module: str) -> None:
    found = modules_after(f"import {module}")
    assert "edgepack" in found
    assert not found & FRAMEWORKS


def test_listing_the_targets_brings_no_framework() -> None:
    assert not modules_after("from edgepack import registry; assert registry.targets()") & FRAMEWORKS


@pytest.mark.parametrize("arguments", [["--help"], ["build", "--help"], ["--version"]])
def test_help_brings_nothing_heavy(arguments: list[str]) -> None:
    """This, not a clock, is what keeps help fast."""
    found = modules_after(f"from edgepack.cli import main\ntry: main({arguments})\nexcept SystemExit: pass")
    assert "click" in found
    assert not found & (FRAMEWORKS | HEAVY)


def test_the_core_is_all_here() -> None:
    assert {"cli.py", "pipeline.py", "writer.py"} <= {path.name for path in CORE}


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_no_core_module_imports_a_framework(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported.add((node.module or "").partition(".")[0])
    assert not imported & FRAMEWORKS
