"""Bundles verified in every engine of a browser: right ones pass, wrong ones do not, and nothing of a browser is left."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from spoiled import on_wasm, reseal
from tfjs_bundles import pictures, write_litert_bundle

from edgepack import devices
from edgepack.bundle import reader
from edgepack.devices.browsers import engine
from edgepack.devices.replay import replay
from edgepack.errors import MissingToolError, ModelError

ENGINES = ("chrome-desktop", "firefox", "webkit")
DRIVEN = ("firefox", "webkit")


@pytest.fixture(scope="module")
def installed():
    """``installed(device)``: skip where the device lacks a tool; asked once."""
    missing = {}

    def check(name):
        if name not in missing:
            try:
                missing[name] = ""
                for tool in devices.find(name).tools():
                    tool.verify()
            except MissingToolError as error:
                missing[name] = error.message
        if missing[name]:
            pytest.skip(missing[name])

    return check


@pytest.fixture(params=ENGINES)
def device(request, installed):
    installed(request.param)
    return request.param


@pytest.fixture(params=DRIVEN)
def driven(request, installed):
    installed(request.param)
    return request.param


def processes(folder):
    """The process ids and command lines that name this folder, without those that have ended."""
    listed = subprocess.run(["ps", "-eo", "pid,stat,args"], capture_output=True, text=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()[1:]]
    return {int(pid): args for pid, stat, args in rows if "Z" not in stat and str(folder) in args}


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_every_backend_passes_and_nothing_is_left_behind(bundle, verify, short, driven):
    code, answer, said = verify(bundle, driven)
    assert (code, answer["passed"]) == (0, True), answer
    backends = answer["devices"][driven]["backends"]
    assert list(backends) == ["wasm", "webgl"]
    for each in backends.values():
        assert each["passed"]
        assert each["outputs"]["probabilities"]["sqnr_db"] > 100
    assert "is not" in said
    assert list(short.iterdir()) == []
    assert processes(short) == {}


def test_webassembly_answers_alike_in_every_engine_and_in_node(bundle, installed):
    found = {}
    for name in (*ENGINES, "node"):
        installed(name)
        with devices.find(name).open(reader.read(bundle), "wasm") as player:
            found[name] = player(pictures()[0])["probabilities"].tobytes()
    assert len(set(found.values())) == 1, found


def test_pages_have_threads(bundle, driven):
    """They are isolated, as on a server that sends the headers of ``edgepack serve``."""
    script = "async () => { return { backend: String(crossOriginIsolated) }; }"
    assert asked(driven, bundle, script)["backend"] == "true"


def asked(device, bundle, script):
    """What a page beside the bundle answers to one question."""
    found = devices.find(device)
    page_script = bundle.parent.parent / "script.js"
    page_script.write_text(script)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgepack.devices.browsers.driving.SCRIPT", page_script)
        with found.engine.page(reader.read(bundle), found.profile) as page:
            return page.ask({})


def test_a_litert_bundle_runs_on_its_one_backend(tmp_path, verify, device):
    folder = tmp_path / "elsewhere" / "bundle"
    write_litert_bundle(folder, gate={"expression": "sqnr_db>=10", "passed": True})
    code, answer, _ = verify(folder, device)
    assert code == 0, answer
    assert list(answer["devices"][device]["backends"]) == ["wasm"]


def test_a_wrong_weight_turns_the_gate_red(fresh, verify, device):
    shard = fresh / "group1-shard1of1.bin"
    weights = np.frombuffer(shard.read_bytes(), np.float32).copy()
    weights[-32:] *= -1  # the last layer's
    shard.write_bytes(weights.tobytes())
    reseal(fresh, backends={"wasm": ""})
    code, answer, said = verify(fresh, device)
    assert (code, answer["passed"]) == (1, False)
    (backend,) = answer["devices"][device]["backends"].values()
    assert any("sqnr_db" in failure for failure in backend["failures"])
    assert f"did NOT pass on {device}" in said


def test_a_page_that_hangs_is_stopped_with_all_of_its_browser(fresh, monkeypatch, short, device):
    monkeypatch.setattr("tempfile.tempdir", str(short))
    monkeypatch.setattr(engine, "PATIENCE", 15.0)
    result = on_wasm(device, fresh, "export async function load() { for (;;); }")
    assert result.error == "the page did not answer within 15 s, and was stopped"
    wait_for(lambda: processes(short) == {})


def test_what_the_page_says_of_its_failure_is_kept(fresh, device):
    script = "export async function load() { console.error('look here'); throw new Error('no'); }"
    result = on_wasm(device, fresh, script)
    assert (result.error, result.details) == ("no", "look here")


def test_an_answer_without_bounds_is_stopped(fresh, driven):
    script = """export const load = async () => ({ backend: "wasm", predict: () => ({
        probabilities: { data: new Float32Array(1e6), shape: [1, 1e6] } }) });"""
    assert "is larger than" in on_wasm(driven, fresh, script).error


def kill_tabs(folder):
    """Every process with a page in it, of browsers that have their home in this folder."""
    listed = subprocess.run(["ps", "-eo", "pid,comm"], capture_output=True, text=True).stdout
    names = dict(line.split(maxsplit=1) for line in listed.splitlines()[1:])
    tabs = [int(pid) for pid, name in names.items() if name.startswith(("Isolated Web", "WebKitWeb"))]
    for each in tabs:
        with suppress(ProcessLookupError, FileNotFoundError):  # it has ended since
            if str(folder).encode() in Path(f"/proc/{each}/environ").read_bytes():
                os.kill(each, signal.SIGKILL)


def test_a_tab_that_crashes_is_said_at_once(bundle, short, monkeypatch, driven):
    monkeypatch.setattr("tempfile.tempdir", str(short))
    with devices.find(driven).open(reader.read(bundle), "wasm") as tab:
        kill_tabs(short)
        with pytest.raises(ModelError, match="the page crashed"):
            tab(pictures()[0])


def test_a_page_reaches_nothing_but_its_own_server(fresh, driven):
    with socket.create_server(("127.0.0.1", 0)) as near, socket.create_server(("127.0.0.2", 0)) as far:
        places = [f"http://127.0.0.1:{near.getsockname()[1]}/", f"http://127.0.0.2:{far.getsockname()[1]}/"]
        script = f"""export async function load() {{
            const tries = {places}.map((place) => fetch(place, {{ mode: "no-cors" }}).then((r) => r.type, () => "failed"));
            throw new Error((await Promise.all(tries)).join());
        }}"""
        assert on_wasm(driven, fresh, script).error
        for server in (near, far):
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.accept()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_who_ends_edgepack_ends_the_browser(bundle, short, device, how):
    process = subprocess.Popen(
        [sys.executable, "-m", "edgepack", "verify", str(bundle), "--device", device],
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(short)},
    )
    folders = "edgepack-*/playwright*" if device == "chrome-desktop" else "edgepack-*/browser-*/*"
    wait_for(lambda: list(short.glob(folders)))
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert b"Traceback" not in said
    wait_for(lambda: processes(short) == {})


def test_a_browser_that_ends_at_once_is_as_good_as_none(bundle, tmp_path, monkeypatch, installed):
    installed("firefox")
    program = tmp_path / "firefox-esr"
    program.write_text("#!/bin/sh\necho no library >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(MissingToolError, match="does not start") as found:
        replay(devices.find("firefox"), reader.read(bundle))
    assert "no library" in found.value.details
