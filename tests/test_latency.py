"""How fast an artifact is beside another."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from edgepack import latency, registry
from edgepack.latency import Race
from edgepack.target import Artifact


class Sleeper:
    """A target whose artifact says how long a call takes."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def meter(self, artifact: Artifact, backend: str, threads: int) -> Sleeper:
        assert (backend, threads) == ("wasm", 1)
        made = Sleeper(self.log)
        made.seconds, made.name = float(artifact.main.read_text()), artifact.files[0]
        return made

    def time(self, inputs: object, calls: int) -> list[float]:
        self.log += [self.name] * calls
        time.sleep(0.001)
        return [self.seconds] * calls


def race(folder: Path, before: float, after: float) -> Race:
    for name, seconds in (("before", before), ("after", after)):
        (folder / name).write_text(str(seconds))
    made = [Artifact(folder, (name,)) for name in ("before", "after")]
    return Race(registry.target("tflite"), "wasm", made[0], made[1], {"x": np.zeros(1)})


def test_a_ratio_of_two_that_are_asked_in_turns(tmp_path: Path) -> None:
    log: list[str] = []
    found = latency.compare(Sleeper(log), race(tmp_path, 0.030, 0.015))
    assert found == {"latency before": 30.0, "latency": 15.0, "latency ratio": 0.5}
    turns = "".join(name[0] for name in log[-4 * latency.MIN_ROUNDS :])
    assert "ab" in turns
    assert "ba" in turns
