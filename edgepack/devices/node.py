"""Node as a device: what the host does for a TensorFlow.js bundle, for those bundles alone."""

from __future__ import annotations

from ..bundle.reader import Bundle
from ..errors import UsageError
from .host import Host

TARGET = "tfjs"


class Node(Host):
    """See edgepack.devices.device.Device."""

    def backends(self, bundle: Bundle) -> tuple[str, ...]:
        manifest = bundle.manifest
        if manifest.target != TARGET or manifest.runtime:
            made_for = f"its runtime {manifest.runtime}" if manifest.runtime else manifest.target
            raise UsageError(
                f"{self.profile.name} runs TensorFlow.js; {bundle.folder} is a bundle for {made_for}.",
                "Verify it with --device host, or build one with --target tfjs.",
            )
        return super().backends(bundle)
