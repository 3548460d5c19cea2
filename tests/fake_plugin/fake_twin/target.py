"""The fake target by another name; FAKE_TWIN=broken makes it one that cannot lower anything."""

import os

from fake_target.target import Fake, Lowering

from edgepack.errors import ModelError
from edgepack.target import File


class Twin(Fake):
    name, kit_folder = "twin", ""

    def lower(self, model, calibration, workdir):
        if os.environ.get("FAKE_TWIN") == "broken":
            raise ModelError("The twin lowers nothing.")
        return Lowering(model, calibration, workdir)

    def kit(self, manifest, golden):
        yield File("frame.txt", f"around {manifest.artifact[0]} by {manifest.runtime or 'itself'}\n")


target = Twin()
