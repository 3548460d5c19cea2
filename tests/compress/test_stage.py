"""The stage in the flow, on the fake target: what ships is smaller, and is held to the original's answers."""

from __future__ import annotations

import itertools
import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgepack import pipeline
from edgepack.compress import channels, distil, stage
from edgepack.compress.wanted import Wanted
from edgepack.errors import ModelError, UsageError
from edgepack.events import Event, StepAdvanced, StepEnded, Warned
from edgepack.pipeline import Built
from edgepack.project import load

Make = Callable[..., Built]


@pytest.fixture
def make(workspace: Path, tmp_path: Path, fake: Callable[[str], str]) -> Make:
    """Build into ``out/``, with these amounts of compression."""

    def run(
        source: str = "taught",
        data: str = "many",
        precision: str = "float32",
        gate: float = 0.5,
        **compress: Any,
    ) -> Built:
        tables = {
            "model": {"source": fake(source)},
            "data": {"representative": fake(data)},
            "build": {"precision": precision},
            "gate": {"cosine": gate},
            "compress": {"recover_minutes": 0} | compress,
        }
        scratch, out = (tmp_path / f"{name}{len(list(tmp_path.iterdir()))}" for name in ("scratch", "out"))
        scratch.mkdir()
        out.mkdir()
        (tmp_path / "out").unlink(missing_ok=True)
        (tmp_path / "out").symlink_to(out)
        return pipeline.build(load(None, tables), "fake", scratch, out)

    return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning's time stands still but for 20 ms whenever it is asked: so many steps, whatever the machine has to do."""
    ticks = itertools.count()
    monkeypatch.setattr(distil, "time", SimpleNamespace(monotonic=lambda: 0.02 * next(ticks)))


def weights(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "weights.npz") as stored:
        return {name: stored[name] for name in stored.files}


def test_nothing_is_compressed_unless_asked(make: Make, events: list[Event]) -> None:
    assert make().manifest.compression == {}
    assert "compress" not in [event.name for event in events if isinstance(event, StepEnded)]


def test_half_of_the_weights_go_and_the_manifest_counts_them(make: Make, tmp_path: Path) -> None:
    told = make(prune=0.5).manifest
    hidden, scores = weights(tmp_path / "out").values()
    assert np.count_nonzero(hidden) == hidden.size  # the first layer is left alone
    assert (scores == 0).sum() == scores.size // 2 == told.compression["zeros"]
    assert told.compression["weights"] == hidden.size + scores.size
    assert told.compression["prune"] == 0.5
    assert told.compression["agreement"] == told.parity["host"].outputs["scores"].argmax_agreement
    assert "--prune 0.5 --recover-minutes 0" in told.command


def test_zeros_are_zeros_in_int8(make: Make, tmp_path: Path) -> None:
    make(prune=0.5, precision="int8")
    scores = weights(tmp_path / "out")["scores"]
    assert scores.dtype == np.int8
    assert (scores == 0).sum() >= scores.size // 2


def test_what_it_was_is_told_beside_what_it_is(make: Make, tmp_path: Path) -> None:
    told = make(prune=0.5, precision="int8").manifest.compression
    assert told["weights before"] == told["weights"] == told["macs before"] == told["macs"] == 12 * 16 + 48
    assert told["bytes before"] == told["bytes"]
    files = [tmp_path / "out" / name for name in ("model.json", "weights.npz")]
    assert told["zipped"] == sum(len(zlib.compress(path.read_bytes(), 9)) for path in files)
    assert told["artifact agreement"] <= told["artifact agreement before"]


@pytest.mark.parametrize(("sizes", "warned"), [((100, 100), True), ((100, 99), False)])
def test_an_artifact_that_is_no_smaller_is_said_to_be_so(
    make: Make, events: list[Event], monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int], warned: bool
) -> None:
    told = iter(sizes)
    monkeypatch.setattr(pipeline, "zipped", lambda artifact: next(told))
    make(prune=0.5)
    warnings = [event.text for event in events if isinstance(event, Warned)]
    assert any("but not its artifact" in text for text in warnings) == warned


def test_the_same_again_gives_the_same_bytes(make: Make, tmp_path: Path) -> None:
    """Times are measured, and so are no part of a bundle."""
    first = make(prune=0.5).manifest
    shutil.rmtree(tmp_path / "cache")
    assert make(prune=0.5).manifest == first
    assert "latency" not in first.compression


def test_layers_get_few_values(make: Make) -> None:
    assert make(cluster=5).manifest.compression["values a layer"] <= 5


@pytest.mark.parametrize(("prune", "codes"), [(0.1, 115), (0.5, 64), (0.8, 26), (0.95, 16)])
def test_what_is_pruned_gets_few_values_too(prune: float, codes: int) -> None:
    assert Wanted(prune=prune).codes == codes
    assert Wanted(prune=prune, cluster=200).codes == 200
    assert Wanted(prune_channels=prune).codes == 0


def test_the_values_of_pruned_layers_are_told(make: Make) -> None:
    told = make(prune=0.1).manifest.compression
    assert told["values a layer"] <= 48 - told["zeros"] + 1
    assert make(prune=0.8).manifest.compression["values a layer"] <= 26


def test_both_together(make: Make, tmp_path: Path) -> None:
    told = make(cluster=6, prune=0.4).manifest.compression
    assert told["values a layer"] <= 6
    assert told["zeros"] == round(0.4 * 48)


def test_channels_go_and_with_them_multiplications(make: Make, tmp_path: Path) -> None:
    told = make(prune_channels=0.4).manifest
    hidden, scores = weights(tmp_path / "out").values()
    assert hidden.shape[1] == scores.shape[0] == 9
    assert np.count_nonzero(scores) == scores.size
    assert told.compression["macs before"] == 12 * 16 + 16 * 3
    assert told.compression["macs"] == 12 * 9 + 9 * 3 <= 0.6 * told.compression["macs before"]
    assert told.compression["agreement"] == told.parity["host"].outputs["scores"].argmax_agreement
    assert "--prune-channels 0.4" in told.command


def test_of_the_weights_that_channels_leave_the_ratio_goes(make: Make, tmp_path: Path) -> None:
    told = make(prune_channels=0.4, prune=0.5, cluster=8).manifest.compression
    scores = weights(tmp_path / "out")["scores"]
    assert (scores == 0).sum() == told["zeros"] == round(0.5 * 27)
    assert told["values a layer"] <= 8


def test_channels_that_are_gone_are_gone_when_it_is_remembered_or_goes_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make(prune_channels=0.4, recover_minutes=0.01).manifest
    with monkeypatch.context() as patch:
        patch.setattr(distil, "distil", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception, match="killed"):
            make(prune_channels=0.5, recover_minutes=0.01)
    monkeypatch.setattr(channels, "choose", lambda *_: pytest.fail("chosen again"))
    assert make(prune_channels=0.4, recover_minutes=0.01).manifest.compression == first.compression
    assert make(prune_channels=0.5, recover_minutes=0.01).manifest.compression["macs"] == 15 * 8


@pytest.mark.usefixtures("clock")
def test_learning_wins_back_and_keeps_what_is_held(make: Make, events: list[Event], tmp_path: Path) -> None:
    once = make(prune=0.8).manifest.parity["host"].outputs["scores"]
    again = make(prune=0.8, recover_minutes=0.03).manifest
    assert again.compression["steps"] > 10
    assert again.compression["zeros"] == round(0.8 * 48)
    assert again.parity["host"].outputs["scores"].sqnr_db > once.sqnr_db
    assert any("agree" in event.text for event in events if isinstance(event, StepAdvanced))


@pytest.mark.parametrize(("gate", "learns"), [(0.5, False), (0.9999, True)])
def test_unless_told_how_long_it_learns_where_the_gate_asks_for_it(
    make: Make, monkeypatch: pytest.MonkeyPatch, gate: float, learns: bool
) -> None:
    monkeypatch.setattr(stage, "MINUTES", 0.01)
    told = make(prune=0.5, recover_minutes=None, gate=gate).manifest
    assert bool(told.compression["steps"]) == learns
    assert "--recover-minutes" not in told.command


def test_the_same_again_is_remembered_and_another_is_not(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make(prune=0.8, recover_minutes=0.01).manifest
    monkeypatch.setattr(distil, "distil", lambda *_: pytest.fail("learnt again"))
    second = make(prune=0.8, recover_minutes=0.01).manifest
    assert second.compression == first.compression
    assert [file.sha256 for file in second.files] == [file.sha256 for file in first.files]
    with pytest.raises(pytest.fail.Exception, match="learnt again"):
        make(prune=0.7, recover_minutes=0.01)


@pytest.mark.usefixtures("clock")
def test_a_killed_run_goes_on(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distil, "LOOK_SECONDS", 0.01)
    written = distil._write
    rounds: list[int] = []

    def killed(progress: distil.Progress, folder: Path) -> None:
        written(progress, folder)
        rounds.append(progress.steps)
        if len(rounds) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(distil, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        make(prune=0.8, recover_minutes=0.02)
    make(prune=0.8, recover_minutes=0.02)
    assert rounds[3] > rounds[2]


@pytest.mark.usefixtures("clock")
def test_nan_in_learning_keeps_the_best(
    make: Make, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distil, "RATE", 1e30)
    with np.errstate(all="ignore"):
        told = make(prune=0.5, recover_minutes=0.05).manifest
    assert told.compression["agreement"] >= told.compression["agreement before learning"] - 0.1
    assert np.isfinite(told.parity["host"].outputs["scores"].sqnr_db)


def test_a_loss_that_is_not_finite_stops(make: Make, events: list[Event]) -> None:
    make(source="turns_nan", prune=0.5, recover_minutes=5)
    assert any(
        "the best student so far is kept" in event.text for event in events if isinstance(event, Warned)
    )


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"prune": 1.5}, UsageError, "above 0 and at most 0.95"),
        ({"prune": -0.1}, UsageError, "above 0 and at most 0.95"),
        ({"cluster": 2}, UsageError, "greater than or equal to 4"),
        ({"prune": 0.5, "recover_minutes": -1}, UsageError, "recover_minutes"),
        ({"prune": 0.5, "recover_minutes": float("nan")}, UsageError, "recover_minutes"),
        ({"prune": 0.5, "keep": ["score"]}, UsageError, "Did you mean 'scores'"),
        ({"prune": 0.5, "keep": ["scores", "hidden"]}, ModelError, "No layer is left"),
        ({"prune": 0.5, "source": "constant"}, UsageError, "same answers"),
        ({"prune": 0.5, "source": "build", "data": "samples"}, ModelError, "cannot be compressed yet"),
        ({"prune": 0.5, "data": "few", "recover_minutes": 5}, UsageError, "too few to recover"),
        ({"prune_channels": 0.95}, UsageError, "less than or equal to 0.9"),
        ({"prune_channels": 0.0}, UsageError, "greater than 0"),
        ({"prune_channels": 0.3, "keep": ["hidden"]}, ModelError, "No channels can be removed"),
        ({"prnue": 0.5}, UsageError, "Did you mean 'compress.prune'"),
    ],
)
def test_what_cannot_be_is_refused_before_minutes_are_spent(
    make: Make, given: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as caught:
        make(**given)
    assert says in str(caught.value)


def test_two_targets_share_what_was_found(
    edgepack: Callable[..., Any], fake: Callable[[str], str], tmp_path: Path
) -> None:
    ended = edgepack(
        "build", fake("taught"), "--data", fake("many"), "--target", "fake", "--target", "twin",
        "--prune", 0.8, "--recover-minutes", 0.02, "--gate", "cosine>=0.5", "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "agrees with the original" in ended.err
    told = [
        json.loads((Path(each["path"]) / "manifest.json").read_text())["compression"]
        for each in ended.json["bundles"]
    ]
    assert told[0] == told[1]
    assert told[0]["zeros"] == 38
    assert told[0]["zipped"] < told[0]["zipped before"]
    figures = ended.json["bundles"][0]["compression"]
    assert figures.items() >= told[0].items()
    assert min(figures[name] for name in ("latency before", "latency", "latency ratio", "bundle zipped")) > 0
    (kept,) = (path for path in (tmp_path / "cache/edgepack/compressed").iterdir() if path.is_dir())
    assert sorted(path.name for path in kept.iterdir()) == ["final.state", "found.json"]


def test_a_budget_that_the_gate_forbids_ships_nothing_and_says_how_far_it_came(
    edgepack: Callable[..., Any], fake: Callable[[str], str]
) -> None:
    ended = edgepack(
        "build", fake("taught"), "--data", fake("many"), "--target", "fake",
        "--prune", 0.95, "--recover-minutes", 0, "--gate", "cosine>=0.9",
    )  # fmt: skip
    assert ended.code == 1
    assert "Without compression it is met. That agrees with the original to 100.0 %, this to" in ended.err
    (command,) = (line for line in ended.err.splitlines() if line.startswith("  edgepack build "))
    assert "--prune 0." in command
    assert not Path("dist").exists()


def test_a_gate_that_is_not_met_without_compression_either_is_said_to_be(
    edgepack: Callable[..., Any], fake: Callable[[str], str]
) -> None:
    ended = edgepack(
        "build", fake("taught"), "--data", fake("many"), "--target", "fake",
        "--prune", 0.5, "--recover-minutes", 0, "--gate", "sqnr_db>=299",
    )  # fmt: skip
    assert ended.code == 1
    assert "It is not met without compression either." in ended.err
