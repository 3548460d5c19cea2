"""Devices are data, and say what they are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgepack import devices
from edgepack.devices.profiles import profiles
from edgepack.errors import UsageError


def test_every_device_says_what_it_is_and_what_it_is_not() -> None:
    assert list(profiles()) == ["host", "chrome-desktop", "chrome-android"]
    assert all(profile.summary and profile.is_not for profile in profiles().values())
    assert [device.profile for device in devices.every()] == list(profiles().values())


def test_the_phone_is_slower_than_the_desktop() -> None:
    assert profiles()["chrome-android"].cpu_throttle > profiles()["chrome-desktop"].cpu_throttle == 1


def test_an_unknown_device_gets_the_nearest_one_and_the_list() -> None:
    with pytest.raises(
        UsageError, match="no device 'chrome-andriod'. Did you mean 'chrome-android'"
    ) as caught:
        devices.find("chrome-andriod")
    assert "host, chrome-desktop, chrome-android" in caught.value.hint


def test_the_command_lists_them_for_people_and_machines(edgepack: Callable[..., Any]) -> None:
    listed = edgepack("devices")
    assert listed.code == 0
    assert listed.out == ""
    assert all(name in listed.err for name in profiles())
    rows = edgepack("devices", "--json").json
    assert [row["name"] for row in rows] == list(profiles())
    assert rows[0] | {"is": "", "is_not": ""} == {
        "name": "host", "kind": "host", "is": "", "is_not": "", "backends": [], "state": "ready", "ok": True,
    }  # fmt: skip
