"""Emulated devices: what they need is data, what is missing is told with the command that installs it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgepack import devices, registry
from edgepack.devices.emulated import Emulated
from edgepack.devices.profiles import Profile, profiles
from edgepack.devices.setup import installation, parts, qemu
from edgepack.devices.setup.machines import MACHINES
from edgepack.devices.setup.parts import RECORD, Part
from edgepack.errors import MissingToolError, UsageError
from edgepack.registry import TargetInfo

TFLITE = registry.target("tflite")


def parts_of(name: str, target: TargetInfo = TFLITE) -> tuple[Part, ...]:
    device = devices.find(name)
    assert isinstance(device, Emulated)
    return tuple(device.parts(target))


def pretend(wanted: tuple[Part, ...]) -> None:
    """The parts as if they were installed: ten bytes each."""
    for part in wanted:
        folder = parts.folder(part)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ten").write_text("0123456789")
        (folder / RECORD).write_text('{"bytes": 10, "versions": []}')


@pytest.fixture
def offline(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A machine whose Debian mirror does not answer; gives its address."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        mirror = f"http://127.0.0.1:{unused.getsockname()[1]}/debian"
        (workspace / "sources.list").write_text(f"deb {mirror} bookworm main\n")
        configuration = workspace / "apt.conf"
        configuration.write_text(
            f'Dir::Etc::sourcelist "{workspace}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
        )
        monkeypatch.setenv("APT_CONFIG", str(configuration))
        yield mirror


def bundle(folder: Path, target: str = "tflite", runtime: str = "") -> Any:
    return SimpleNamespace(
        folder=folder,
        manifest=SimpleNamespace(target=target, runtime=runtime),
        artifact=SimpleNamespace(main=folder / "model.tflite"),
    )


def test_every_emulated_profile_names_a_machine_and_a_processor() -> None:
    emulated = [each for each in profiles().values() if each.kind == "emulated"]
    assert len(emulated) > 5
    assert all(each.machine in MACHINES and each.cpu for each in emulated)


def test_boards_of_one_machine_share_all_their_parts() -> None:
    assert parts_of("raspberry-pi-4") == parts_of("android-v9")
    assert set(parts_of("raspberry-pi-4")) & set(parts_of("armv7")) == {qemu.Qemu()}


def test_a_driver_in_c_is_compiled_and_one_in_python_has_a_python() -> None:
    names = [[part.name for part in parts_of(name)] for name in ("raspberry-pi-4", "armv7")]
    assert names == [
        ["QEMU", "a Debian arm64 userland", "ai-edge-litert==2.3.0 for aarch64", "litert_run.c for arm64"],
        ["QEMU", "a Debian armhf userland with Python", "tflite-runtime==2.14.0 for armv7l"],
    ]


def test_a_changed_driver_is_another_part(tmp_path: Path) -> None:
    *_, compiled = parts_of("raspberry-pi-4")
    source = tmp_path / compiled.source.name  # type: ignore[attr-defined]
    source.write_text("int main(void) { return 0; }")
    other = type(compiled)(source, MACHINES["arm64"], compiled.userland)  # type: ignore[attr-defined,call-arg]
    before = parts.folder(other)
    source.write_text("int main(void) { return 1; }")
    assert len({parts.folder(compiled), before, parts.folder(other)}) == 3


def test_a_bundle_without_a_driver_for_the_machine_is_refused(workspace: Path) -> None:
    with pytest.raises(
        UsageError, match="raspberry-pi-4 runs no bundles for tfjs, only for:.* tflite"
    ) as caught:
        devices.find("raspberry-pi-4").backends(bundle(workspace, "tfjs"))
    assert "--device host" in caught.value.hint


def test_a_device_that_is_not_installed_names_the_command(workspace: Path) -> None:
    with pytest.raises(MissingToolError, match="QEMU is not installed") as caught:
        devices.find("pixel-big").backends(bundle(workspace))
    assert caught.value.hint == "edgepack devices install pixel-big --target tflite"


@pytest.mark.parametrize(
    ("cpu", "passed"), [("cortex-a72", "cortex-a72"), ("max", "max,sme=off"), ("max,sme=on", "max,sme=on")]
)
def test_the_largest_processor_has_no_sme_unless_it_is_asked_for(cpu: str, passed: str) -> None:
    argv = qemu.command(Path("/q"), MACHINES["arm64"], Path("/files"), cpu)
    assert argv == ("/q/usr/bin/qemu-aarch64", "-L", "/files", "-cpu", passed)


def test_the_list_tells_what_is_installed(edgepack: Callable[..., Any]) -> None:
    pretend(parts_of("armv7"))
    rows = {row["name"]: row for row in edgepack("devices", "--json").json}
    assert (rows["armv7"]["ok"], rows["armv7"]["installed"]) == (True, {"tflite": 30})
    assert rows["armv7"]["state"] == "tflite: 30 B"
    assert (rows["raspberry-pi-3"]["ok"], rows["raspberry-pi-3"]["installed"]) == (False, {})
    assert rows["raspberry-pi-3"]["state"] == "not installed: edgepack devices install raspberry-pi-3"


def test_installing_again_makes_nothing(edgepack: Callable[..., Any]) -> None:
    pretend(parts_of("raspberry-pi-4"))
    done = edgepack("devices", "install", "raspberry-pi-4", "--json")
    assert done.code == 0
    assert done.json == {
        "devices": [{"name": "raspberry-pi-4", "target": "tflite", "bytes": 40}],
        "error": None,
    }
    assert "✓" not in done.err


def test_installing_without_network_says_so_and_leaves_nothing_half_installed(
    offline: str, edgepack: Callable[..., Any]
) -> None:
    done = edgepack("devices", "install", "raspberry-pi-4", "--json")
    assert done.code == 4
    assert done.json["error"]["message"] == f"apt-get could not fetch qemu-user from {offline}."
    assert "install again" in done.json["error"]["hint"]
    assert all(parts.find(part) is None for part in parts_of("raspberry-pi-4"))
    assert not [path for path in parts.root().iterdir() if path.name.startswith("qemu")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["install", "raspbery-pi-4"], "Did you mean 'raspberry-pi-4'?"),
        (["install", "armv7", "--target", "tfjs"], "armv7 runs no bundles for tfjs"),
        (["install", "armv7", "--target", "tflit"], "Did you mean 'tflite'?"),
        (["install"], "Missing argument"),
        (["remove", "raspbery-pi-4"], "Did you mean 'raspberry-pi-4'?"),
    ],
)
def test_wrong_names_are_refused_before_anything_is_fetched(
    offline: str, edgepack: Callable[..., Any], arguments: list[str], said: str
) -> None:
    done = edgepack("devices", *arguments)
    assert done.code == 2
    assert said in done.err
    assert not parts.root().exists()


def test_this_machine_needs_no_installation(edgepack: Callable[..., Any]) -> None:
    done = edgepack("devices", "install", "host")
    assert done.code == 0
    assert "host is ready" in done.err


def test_removing_frees_what_no_other_device_needs(workspace: Path) -> None:
    for name in ("armv7", "raspberry-pi-4"):
        pretend(parts_of(name))
        installation.install(devices.find(name), TFLITE)
    freed, others = installation.remove(devices.find("armv7"))
    assert (freed > 20, others) == (True, ("raspberry-pi-4",))
    assert all(map(parts.find, parts_of("raspberry-pi-4")))
    assert list(map(bool, map(parts.find, parts_of("armv7")))) == [True, False, False]
    freed, others = installation.remove(devices.find("raspberry-pi-4"))
    assert others == ()
    assert not any(map(parts.find, parts_of("raspberry-pi-4")))


def test_what_another_device_shares_stays_and_the_command_says_for_whom(
    workspace: Path, edgepack: Callable[..., Any]
) -> None:
    pretend(parts_of("raspberry-pi-4"))
    for name in ("raspberry-pi-4", "pixel-big"):
        installation.install(devices.find(name), TFLITE)
    done = edgepack("devices", "remove", "pixel-big", "--json")
    assert done.json == {"bytes": 0, "stay": ["raspberry-pi-4"], "error": None}
    assert "what raspberry-pi-4 needs stays" in done.err
    assert all(map(parts.find, parts_of("raspberry-pi-4")))


def test_a_profile_of_ones_own_is_a_device(workspace: Path) -> None:
    (workspace / "edgepack.toml").write_text('[device.newest]\nlike = "raspberry-pi-5"\ncpu = "max"\n')
    device = devices.find("newest")
    assert isinstance(device, Emulated)
    assert isinstance(device.profile, Profile)
    assert tuple(device.parts(TFLITE)) == parts_of("raspberry-pi-5")
