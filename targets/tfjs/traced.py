"""A graph model whose layers can be read on any runtime: the results of its ops are further outputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from edgepack.errors import ModelError
from edgepack.target import Artifact

from .audit import NO_OPS, audit

LOOPS = {"Enter", "While", "StatelessWhile"}


def with_layers(artifact: Artifact, out: Path) -> Artifact:
    """The model with every float result under its op's name, in the order of the graph. Raises ModelError."""
    model = json.loads(artifact.main.read_bytes())
    outputs = model["signature"]["outputs"]
    own = {entry["name"].partition(":")[0]: (name, entry) for name, entry in outputs.items()}
    found: dict[str, Any] = {}
    for op in audit(artifact.main).ops:
        if op.kind in LOOPS:
            raise ModelError("The model has loops, whose layers TensorFlow.js does not give.", "")
        if op.kind not in NO_OPS and op.precision != "integer":
            name, entry = own.pop(op.name, (op.name, _output(op.name)))
            found[name] = entry
    model["signature"]["outputs"] = {**found, **dict(own.values())}
    for name in artifact.files[1:]:
        if artifact.folder != out:
            shutil.copyfile(artifact.folder / name, out / name)
    (out / artifact.files[0]).write_text(json.dumps(model), encoding="utf-8")
    return Artifact(out, artifact.files)


def _output(name: str) -> dict[str, Any]:
    return {"name": f"{name}:0", "dtype": "DT_FLOAT", "tensorShape": {}}
