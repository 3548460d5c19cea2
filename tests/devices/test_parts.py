"""Parts are whole or not there, made once, found by what goes into them, and removed when nothing needs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest

from edgepack.devices.setup import parts
from edgepack.devices.setup.parts import Part
from edgepack.errors import MissingToolError
from edgepack.events import Event as Told
from edgepack.events import StepEnded

pytestmark = pytest.mark.usefixtures("workspace")


@dataclass(frozen=True)
class Text:
    """A part of one file, which appends to a diary whenever it is made."""

    text: str
    needs: tuple[Part, ...] = ()
    name = "a text"

    @property
    def recipe(self) -> Sequence[str]:
        return "text", self.text

    def make(self, folder: Path, downloads: Path) -> Sequence[str]:
        with Path("diary").open("a") as diary:
            diary.write(f"{self.text}\n")
        (folder / "text").write_text(self.text)
        time.sleep(0.05)
        return (f"text {len(self.text)}",)


@dataclass(frozen=True)
class Failing(Text):
    """Downloads a piece, and then finds no network, at first."""

    def make(self, folder: Path, downloads: Path) -> Sequence[str]:
        (folder / "half").touch()
        pieces = len(list(downloads.iterdir()))
        (downloads / f"piece {pieces}").touch()
        if pieces == 0:
            raise MissingToolError("no network", "mend it")
        return super().make(folder, downloads)


def made() -> list[str]:
    return Path("diary").read_text().split()


def test_a_part_is_made_once_and_found_ever_after(events: list[Told]) -> None:
    part = Text("hello")
    assert parts.find(part) is None
    installed = parts.install(part)
    assert parts.find(part) == installed == parts.install(part)
    assert (installed.folder / "text").read_text() == "hello"
    assert installed.versions == ("text 5",)
    assert made() == ["hello"]
    assert [each.detail for each in events if isinstance(each, StepEnded)] == ["text 5"]


def test_it_is_found_by_what_goes_into_it() -> None:
    folders = {parts.folder(Text(text)) for text in ("a", "b", "a")}
    assert len(folders) == 2
    assert all(folder.name.startswith("text-") for folder in folders)


def test_two_installs_at_once_make_it_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(parts.install, [Text("once")] * 4))
    assert len(set(found)) == 1
    assert made() == ["once"]


def test_what_failed_is_not_there_and_its_downloads_are_used_again() -> None:
    part = Failing("late")
    with pytest.raises(MissingToolError, match="no network"):
        parts.install(part)
    assert parts.find(part) is None
    assert not parts.folder(part).exists()
    installed = parts.install(part)
    assert sorted(path.name for path in installed.folder.iterdir()) == ["half", "part.json", "text"]
    assert not list(parts.root().glob("*.partial"))


def test_a_kill_leaves_nothing_half_installed(tmp_path: Path) -> None:
    script = tmp_path / "slow.py"
    script.write_text(
        "import sys, time; from pathlib import Path; from edgepack.devices.setup import parts\n"
        "class Slow:\n"
        "    name, recipe, needs = 'slow', ('slow',), ()\n"
        "    def make(self, folder, downloads):\n"
        "        (folder / 'half').touch(); Path('started').touch(); time.sleep(float(sys.argv[1])); return ()\n"
        "parts.install(Slow())\n"
    )
    process = subprocess.Popen([sys.executable, str(script), "600"])
    while not Path("started").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not [path for path in parts.root().iterdir() if not path.name.startswith(".")]
    subprocess.run([sys.executable, str(script), "0"], check=True, timeout=60)
    assert [path.name[:5] for path in parts.root().iterdir() if path.is_dir()] == ["slow-"]


def test_what_a_part_needs_comes_first_and_once() -> None:
    base = Text("base")
    middle = Text("middle", (base,))
    assert parts.with_needs([Text("top", (middle, base)), middle]) == (
        base,
        middle,
        Text("top", (middle, base)),
    )


def test_sweeping_removes_what_is_not_kept_with_the_leftovers_of_tries() -> None:
    kept, gone, failing = Text("kept"), Text("gone"), Failing("failing")
    parts.install(kept)
    parts.install(gone)
    with pytest.raises(MissingToolError):
        parts.install(failing)
    size = parts.size(parts.folder(gone))
    assert parts.sweep([parts.folder(kept).name]) >= size > 0
    assert parts.find(kept)
    assert parts.find(gone) is None
    assert [path for path in parts.root().iterdir() if path.is_dir()] == [parts.folder(kept)]


def test_sweeping_leaves_an_install_under_way_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, swept, make = Event(), Event(), Text.make

    def make_meanwhile(self: Text, folder: Path, downloads: Path) -> Sequence[str]:
        begun.set()
        assert swept.wait(60)
        return make(self, folder, downloads)

    monkeypatch.setattr(Text, "make", make_meanwhile)
    with ThreadPoolExecutor(1) as pool:
        installing = pool.submit(parts.install, Text("under way"))
        assert begun.wait(60)
        parts.sweep([])
        swept.set()
        installed = installing.result()
    assert (installed.folder / "text").read_text() == "under way"


@pytest.mark.skipif(
    os.geteuid() == 0 and not Path("/proc/self").exists(), reason="nothing refuses to be written"
)
def test_a_folder_that_cannot_be_written_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/self/nowhere")
    with pytest.raises(MissingToolError, match="a text cannot be installed") as caught:
        parts.install(Text("x"))
    assert "XDG_CACHE_HOME" in caught.value.hint


def test_a_full_disk_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    part = Text("large")

    def full(self: Text, folder: Path, downloads: Path) -> Sequence[str]:
        with Path("/dev/full").open("w") as file:
            file.write("x")
        return ()

    monkeypatch.setattr(Text, "make", full)
    with pytest.raises(MissingToolError, match="No space left"):
        parts.install(part)
    assert parts.find(part) is None
