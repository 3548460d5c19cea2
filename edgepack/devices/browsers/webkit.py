"""WebKitGTK's own small browser, on a display that nobody sees: found on this machine, never downloaded."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...bundle.reader import Bundle
from ...errors import MissingToolError
from ...target import Tool
from ..profiles import Profile
from .driven import Start, driven
from .engine import Page, told_version
from .xvfb import XvfbTool, display

PROGRAM = "MiniBrowser"
PLACES = ("lib/*-linux-*/webkit2gtk-4.1", "lib/webkit2gtk-4.1", "libexec/webkit2gtk-4.1")
"""Below /usr: it comes with the library, and is on no path."""

INSTALL = f"Install WebKitGTK 4.1 with its {PROGRAM} (Debian: apt-get install libwebkit2gtk-4.1-0)."


class WebKitTool:
    """The browser (see edgepack.target.Tool)."""

    name = "webkitgtk"

    def verify(self) -> str:
        program = self.program()
        with tempfile.TemporaryDirectory() as home, display(Path(home), os.environ) as shown:
            # it does not even tell its version without a display
            return told_version(program, INSTALL, {**os.environ, **shown})

    def program(self) -> str:
        """Where it is. Raises MissingToolError."""
        places = [str(place) for pattern in PLACES for place in sorted(Path("/usr").glob(pattern))]
        found = shutil.which(PROGRAM) or shutil.which(PROGRAM, path=os.pathsep.join(places))
        if found is None:
            raise MissingToolError(
                f"This device needs WebKitGTK's {PROGRAM}, which is not installed.", INSTALL
            )
        return found


class WebKit:
    """See edgepack.devices.browsers.engine.Engine."""

    def tools(self) -> Sequence[Tool]:
        return XvfbTool(), WebKitTool()

    @contextmanager
    def page(self, bundle: Bundle, profile: Profile) -> Iterator[Page]:
        program = WebKitTool().program()

        def command(start: Start) -> list[str]:
            flags = [
                "--private",
                f"--proxy=http://{start.host}",
                f"--ignore-host={start.host}",
                "--enable-dns-prefetching=false",
                "--enable-webrtc=false",
            ]
            if os.geteuid():  # root cannot make the sandbox
                flags.append("--enable-sandbox")
            return [program, *flags, start.page]

        with driven(bundle, command) as page:
            yield page
