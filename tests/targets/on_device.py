"""Artifacts on devices, without a bundle around them."""

from types import SimpleNamespace

import pytest

from edgepack import devices, registry
from edgepack.bundle.manifest import TensorEntry
from edgepack.bundle.reader import Bundle
from edgepack.devices.setup import installation
from edgepack.errors import MissingToolError


def install(name, target):
    """Have a device for a target; what it needs stays in edgepack's cache."""
    try:
        installation.install(devices.find(name), registry.target(target))
    except MissingToolError as missing:
        pytest.skip(f"{missing.message} {missing.details}")


def bundle_of(artifact, signature, target):
    """An artifact as a bundle that has only what a device looks at."""
    manifest = SimpleNamespace(
        target=target,
        runtime="",
        artifact=artifact.files,
        inputs=tuple(map(TensorEntry.of, signature.inputs)),
        outputs=tuple(map(TensorEntry.of, signature.outputs)),
    )
    return Bundle(artifact.folder, manifest)


def play(device, artifact, runner, samples, target="tflite"):
    """The device's answers to the samples, and the facts that it told."""
    if isinstance(device, str):
        device = devices.find(device)
    with device.open(bundle_of(artifact, runner.signature, target), "") as player:
        return [player(sample) for sample in samples], dict(player.facts)
