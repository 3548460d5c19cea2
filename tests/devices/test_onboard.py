"""The device's end of the wire, as drivers in Python use it: a bare Python is enough for it."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgepack import devices
from edgepack.bundle.manifest import TensorEntry
from edgepack.devices.child import Command
from edgepack.devices.wire import driven, python_environment
from edgepack.errors import MissingToolError, ModelError, UsageError

ONE = TensorEntry(name="one", shape=(2, 2), dtype="int16")
OTHER = TensorEntry(name="other one", shape=(), dtype="float64")
MANIFEST: Any = SimpleNamespace(inputs=(ONE, OTHER), outputs=(OTHER, ONE))

Serve = Callable[[str], Any]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Start a driver whose ``load`` has this body, in a Python without any packages."""

    def start(body: str) -> Any:
        script = tmp_path / "driver.py"
        script.write_text(
            "from edgepack_wire import Loaded, Refusal, Tensor, serve\n"
            "ONE, OTHER = Tensor('one', 'int16', (2, 2)), Tensor('other one', 'float64', ())\n"
            "def load(path):\n" + textwrap.indent(textwrap.dedent(body), "    ") + "\nserve(load)\n"
        )
        command = Command((sys.executable, "-S", str(script), "the artifact"), python_environment())
        return driven(command, MANIFEST)

    return start


INPUTS = {"one": np.array([[1, -2], [3, 4]], np.int16), "other one": np.array(0.5)}


def test_inputs_come_as_bytes_and_outputs_go_as_bytes(serve: Serve) -> None:
    with serve(
        "return Loaded([ONE, OTHER], [OTHER, ONE], lambda given: given[::-1], {'path': path})"
    ) as driver:
        for _ in range(2):
            answer = driver(INPUTS)
            np.testing.assert_array_equal(answer["one"], INPUTS["one"])
            assert answer["other one"] == 0.5
        assert driver.facts == {"path": "the artifact"}


def test_what_a_runtime_prints_is_no_answer(serve: Serve) -> None:
    body = """
    import os
    def run(given):
        print("INFO: running", flush=True)
        os.write(1, b"and from C")
        return given[::-1]
    print("INFO: loading", flush=True)
    return Loaded([ONE, OTHER], [OTHER, ONE], run)
    """
    with serve(body) as driver:
        assert driver(INPUTS)["other one"] == 0.5


def test_a_refusal_is_told_with_its_hint(serve: Serve) -> None:
    with pytest.raises(ModelError) as caught, serve("raise Refusal('no kernel', 'Write it yourself.')"):
        pass
    assert (caught.value.message, caught.value.hint) == ("no kernel", "Write it yourself.")
    body = "def run(given): raise Refusal('too large')\nreturn Loaded([ONE, OTHER], [OTHER, ONE], run)"
    with pytest.raises(ModelError, match="too large"), serve(body) as driver:
        driver(INPUTS)


def test_a_fault_of_the_driver_comes_with_its_traceback(serve: Serve) -> None:
    with pytest.raises(ModelError) as caught, serve("return 1 / 0"):
        pass
    assert "exit code 1" in caught.value.message
    assert "ZeroDivisionError" in caught.value.details


def test_a_microcontroller_that_is_not_installed_says_how(workspace: Path) -> None:
    bundle: Any = SimpleNamespace(manifest=SimpleNamespace(target="tflite", runtime=""))
    with pytest.raises(MissingToolError) as caught:
        devices.find("microcontroller").backends(bundle)
    assert caught.value.hint == "edgepack devices install microcontroller --target tflite"


def test_a_microcontroller_runs_no_web_page(workspace: Path) -> None:
    bundle: Any = SimpleNamespace(manifest=SimpleNamespace(target="tfjs", runtime=""))
    with pytest.raises(UsageError, match="microcontroller runs no bundles for tfjs, only for: .*tflite"):
        devices.find("microcontroller").backends(bundle)
