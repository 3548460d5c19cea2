"""Where two runtimes part: every layer of an artifact read on a device and on this machine, in the order of the graph."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..bundle import layers
from ..bundle.manifest import TensorEntry
from ..bundle.reader import Bundle
from ..bundle.writer import MANIFEST
from ..errors import EdgepackError
from ..events import step
from ..spec import Arrays
from . import twin
from .device import Device
from .host import target_of


@dataclass(frozen=True)
class Trace:
    """What a look into the graph found.

    Attributes:
        layer: the first one that differs; empty where none does.
        words: for people.
    """

    layer: str
    words: str


def trace(device: Device, bundle: Bundle, backend: str, inputs: Arrays, first: Arrays) -> Trace:
    """Find the first layer that differs: from this machine's, and if none does, from what it was when the bundle was built.

    Args:
        inputs: the sample to run.
        first: the first golden sample, which the build recorded the layers for.
    """
    where = device.profile.name
    against = twin.backend(device.profile, bundle.manifest)
    if against is not None:
        with step(f"trace on {where}") as tracing:
            found = _beside_twin(device, bundle, backend, against, inputs)
            tracing.detail = found.layer
        if found.layer:
            return found
    with step("trace beside the build") as tracing:
        changed = _beside_build(bundle, first)
        tracing.detail = changed.layer
    if changed.layer or against is None:
        return changed
    return Trace("", f"{found.words} {changed.words}")


def _beside_twin(device: Device, bundle: Bundle, backend: str, against: str, inputs: Arrays) -> Trace:
    target = target_of(bundle)
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        try:
            open_ended = _open_ended(bundle, Path(folder) / "bundle")
            here = target.open(open_ended.artifact, against)(inputs)
            with device.open(open_ended, backend) as player:
                there = player(inputs)
        except EdgepackError as error:
            return Trace("", f"The layers cannot be read there: {error.message}")
    within = twin.bound(bundle.manifest)
    besides = [
        twin.compare([{entry.name: there[entry.name]}], [{entry.name: here[entry.name]}], within)[entry.name]
        for entry in open_ended.manifest.outputs
    ]
    for number, beside in enumerate(besides):
        if not beside.passed:
            return Trace(
                beside.output,
                f"The first of {len(besides)} layers that differs is number {number + 1}: {beside}.",
            )
    return Trace(
        "",
        f"Read one by one, all {len(besides)} layers are {within.words}: only ops that the runtime fuses differ.",
    )


def _open_ended(bundle: Bundle, folder: Path) -> Bundle:
    """A copy of the bundle whose artifact gives every layer as an output. It ships nowhere, so it has no hashes."""
    shutil.copytree(bundle.folder, folder)
    target = target_of(bundle)
    artifact = target.traced(bundle.artifact, folder)
    outputs = target.open(artifact).signature.outputs
    manifest = bundle.manifest.model_copy(
        update={"artifact": artifact.files, "outputs": tuple(map(TensorEntry.of, outputs))}
    )
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return Bundle(folder, manifest)


def _beside_build(bundle: Bundle, first: Arrays) -> Trace:
    """The layers on this machine now, beside those that the bundle recorded when it was built."""
    recorded = layers.read(bundle.folder)
    if not recorded:
        return Trace("", "The bundle has no record of its layers to compare with.")
    try:
        found = layers.summary(target_of(bundle).open(bundle.artifact), first)
    except EdgepackError as error:
        return Trace("", f"The layers cannot be read here: {error.message}")
    for number, (name, values) in enumerate(recorded.items()):
        if name not in found:
            return Trace(name, f"The layer {name} was in the artifact when it was built, and is not now.")
        beside = twin.compare([{name: found[name]}], [{name: values}], twin.FLOAT)[name]
        if not beside.passed:
            return Trace(
                name,
                f"The artifact itself is not what was built: {name}, layer {number + 1} of {len(recorded)}, is the first "
                f"whose mean values differ, on this machine too.",
            )
    return Trace(
        "", f"On this machine all {len(recorded)} layers are as they were when the bundle was built."
    )
