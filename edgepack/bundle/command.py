"""The command that makes a bundle again, from the project's values: the same project, the same text."""

from __future__ import annotations

import shlex
from pathlib import Path

from ..project import InputTable, OutputTable, Project
from ..usercode import is_reference


def command_line(
    project: Project, target: str, runtime: str, whole_paths: bool = False, verb: str = "build"
) -> str:
    """``edgepack build ...`` with every value that is not a default, ``--out`` left out.

    Args:
        verb: of another command with the same options.
        whole_paths: as they are, to be called here; else by their last part, the same wherever the project lies.
    """
    model, data, build, defaults = project.model, project.data, project.build, Project()
    compress = project.compress
    shown = str if whole_paths else _short
    words = ["edgepack", verb, shown(model.source), "--data", shown(data.representative)]
    words += ["--target", target, "--precision", build.precision]
    plain = {
        "--take": (build.take, None),
        "--runtime": (runtime, ""),
        "--name": (model.name, ""),
        "--model-version": (model.version, defaults.model.version),
        "--signature": (model.signature, None),
        "--labels": (shown(model.labels) if model.labels else None, None),
        "--evaluation": (shown(data.evaluation) if data.evaluation else "", ""),
        "--samples": (data.samples, None),
        "--calibration": (data.calibration, None),
        "--held-back": (data.held_back, None),
        "--prune": (compress.prune, None),
        "--prune-channels": (compress.prune_channels, None),
        "--low-rank": (compress.low_rank, None),
        "--cluster": (compress.cluster, None),
        "--recover-minutes": (compress.recover_minutes, defaults.compress.recover_minutes),
        "--io": (build.io, defaults.build.io),
        "--layout": (build.layout, defaults.build.layout),
    }
    for flag, (value, default) in plain.items():
        if value != default:
            words += [flag, str(value)]
    words += ["--allow-code"] if model.allow_code else []
    words += [] if compress.augment else ["--no-augment"]
    for metric in data.metrics:
        words += ["--metric", shown(metric) if ".py:" in metric else metric]
    for layer in compress.keep:
        words += ["--keep-layer", layer]
    for device in build.devices:
        words += ["--device", device]
    for name, shape in model.shapes.items():
        words += ["--shape", f"{name}={shape}"]
    for name, table in project.input.items():
        words += ["--input", f"{name}:{_settings(table)}"]
    for name, output in project.output.items():
        words += ["--output", f"{name}:{_settings(output)}"]
    if any(value is not None for _, value in project.gate):
        words += ["--gate", project.gate_expression]
    return shlex.join(words)


def _short(path: str) -> str:
    head, colon, name = path.rpartition(":") if is_reference(path) else (path, "", "")
    return Path(head).name + colon + name


def _settings(table: InputTable | OutputTable) -> str:
    given = {key: value for key, value in table if value != type(table).model_fields[key].default}
    return ",".join(f"{key}={_plain(value)}" for key, value in given.items())


def _plain(value: object) -> str:
    return "/".join(f"{each!r}" for each in value) if isinstance(value, tuple) else str(value)
