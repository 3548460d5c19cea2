"""Devices are data, and say what they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgepack import devices
from edgepack.devices.profiles import Profile, profiles
from edgepack.errors import UsageError


def test_every_device_says_what_it_is_and_what_it_is_not() -> None:
    assert list(profiles())[:2] == ["host", "raspberry-pi-zero-2"]
    assert all(profile.summary and profile.is_not for profile in profiles().values())
    assert [device.profile for device in devices.every()] == list(profiles().values())


def test_the_phone_is_slower_than_the_desktop() -> None:
    assert profiles()["chrome-android"].cpu_throttle > profiles()["chrome-desktop"].cpu_throttle == 1


def test_an_unknown_device_gets_the_nearest_one_and_the_list() -> None:
    with pytest.raises(
        UsageError, match="no device 'chrome-andriod'. Did you mean 'chrome-android'"
    ) as caught:
        devices.find("chrome-andriod")
    assert all(name in caught.value.hint for name in profiles())


def test_the_command_lists_them_for_people_and_machines(edgepack: Callable[..., Any]) -> None:
    listed = edgepack("devices")
    assert listed.code == 0
    assert listed.out == ""
    assert all(name in listed.err for name in profiles())
    rows = edgepack("devices", "--json").json
    assert [row["name"] for row in rows] == list(profiles())
    assert rows[0] | {"is": "", "is_not": ""} == {
        "name": "host", "kind": "host", "is": "", "is_not": "", "backends": [], "state": "ready", "ok": True,
        "installed": {},
    }  # fmt: skip


def own(folder: Path, text: str) -> dict[str, Profile]:
    (folder / "edgepack.toml").write_text(text)
    return profiles(folder)


def test_a_user_adds_devices_in_the_project_file(tmp_path: Path) -> None:
    found = own(
        tmp_path, '[device.my-board]\nlike = "raspberry-pi-4"\ncpu = "cortex-a57"\nsummary = "ours"\n'
    )
    base = profiles()["raspberry-pi-4"]
    assert found["my-board"] == base.model_copy(
        update={"name": "my-board", "cpu": "cortex-a57", "summary": "ours"}
    )
    assert list(found)[:-1] == list(profiles())


def test_an_own_device_can_take_the_place_of_one_of_edgepacks(tmp_path: Path) -> None:
    assert (
        own(tmp_path, '[device.microcontroller]\nlike = "microcontroller"\narena = 1000\n')[
            "microcontroller"
        ].arena
        == 1000
    )


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('like = "raspbery-pi-4"', "Did you mean 'raspberry-pi-4'"),
        ('like = "host"\ncpus = "x"', "device.mine.cpus"),
        ('like = "host"\nkind = "phone"', "device.mine.kind"),
        ('like = "microcontroller"\narena = -1', "device.mine.arena"),
        ('kind = "emulated"', "device.mine.summary"),
    ],
    ids=["like", "key", "kind", "arena", "missing"],
)
def test_a_wrong_own_device_is_refused_by_its_key(tmp_path: Path, table: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        own(tmp_path, f"[device.mine]\n{table}\n")


def test_a_project_file_that_cannot_be_read_is_for_the_build_to_refuse(tmp_path: Path) -> None:
    assert own(tmp_path, "[device.mine\n") == profiles()
