"""Firefox, on a display that nobody sees (headless, it has no WebGL): found on this machine, never downloaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from ...bundle.reader import Bundle
from ...errors import MissingToolError
from ...target import Tool
from ..profiles import Profile
from .driven import Start, driven
from .engine import Page, told_version
from .xvfb import XvfbTool

NAMES = ("firefox-esr", "firefox")
INSTALL = "Install Firefox ESR from your system's packages (Debian: apt-get install firefox-esr)."

Value = str | int | bool

PREFERENCES: Mapping[str, Value] = {
    # nothing is asked of a user, nothing is told to anybody
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.push.connection.enabled": False,
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    # what finds its way past a proxy
    "media.peerconnection.enabled": False,
    "network.dns.disabled": True,  # addresses in numbers need none
    "network.proxy.failover_direct": False,
    "network.trr.mode": 5,
    "network.webtransport.enabled": False,
    # WebGL without a graphics card
    "gfx.webrender.software": True,
    "webgl.force-enabled": True,
}


class FirefoxTool:
    """The browser (see edgepack.target.Tool)."""

    name = "firefox"

    def verify(self) -> str:
        return told_version(self.program(), INSTALL)

    def program(self) -> str:
        """Where it is. Raises MissingToolError."""
        found = next(filter(None, map(shutil.which, NAMES)), None)
        if found is None:
            raise MissingToolError("This device needs Firefox, which is not installed.", INSTALL)
        return found


class Firefox:
    """See edgepack.devices.browsers.engine.Engine."""

    def tools(self) -> Sequence[Tool]:
        return XvfbTool(), FirefoxTool()

    @contextmanager
    def page(self, bundle: Bundle, profile: Profile) -> Iterator[Page]:
        program = FirefoxTool().program()

        def command(start: Start) -> list[str]:
            home = start.folder / "profile"
            home.mkdir()
            wanted = {**PREFERENCES, **_proxy(start.host)}
            lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in wanted.items()]
            (home / "user.js").write_text("\n".join(lines), encoding="utf-8")
            return [program, "--no-remote", "--profile", str(home), start.page]

        with driven(bundle, command) as page:
            yield page


def _proxy(host: str) -> Mapping[str, Value]:
    address, port = host.split(":")
    return {
        "network.proxy.type": 1,
        "network.proxy.http": address,
        "network.proxy.http_port": int(port),
        "network.proxy.ssl": address,
        "network.proxy.ssl_port": int(port),
        "network.proxy.no_proxies_on": host,
        "network.proxy.allow_hijacking_localhost": True,
    }
