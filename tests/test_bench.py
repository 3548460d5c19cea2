"""``edgepack bench``: bundles beside their float siblings, measured in turns; here with the fake target."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import PLUGIN

from edgepack.bench.lineup import Entrant, line_up
from edgepack.bench.measure import MAX_ROUNDS, MIN_ROUNDS, Cost, Start, Turn, rounds_for
from edgepack.bench.result import Spread, ratio_of
from edgepack.bundle.manifest import Manifest
from edgepack.bundle.writer import seal
from edgepack.errors import UsageError

INT8, FLOAT = Path("dist/fake_models-1.0.0-fake-int8"), Path("dist/fake_models-1.0.0-fake-float32")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dist folder with an int8 bundle and its float sibling, of two targets."""
    folder = tmp_path_factory.mktemp("built")
    models = PLUGIN / "fake_models.py"
    for precision in ("int8", "float32"):
        subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "edgepack",
                    "build",
                    f"{models}:build",
                    "--data",
                    f"{models}:samples",
                ),
                *("--target", "fake", "--target", "twin", "--precision", precision),
            ],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(PLUGIN), "XDG_CACHE_HOME": str(folder / "cache")},
            check=True,
            capture_output=True,
        )
    return folder / "dist"


@pytest.fixture
def pair(built: Path, workspace: Path) -> Path:
    """An int8 bundle with its float sibling next to it."""
    shutil.copytree(built, "dist")
    return INT8


@pytest.fixture
def bundle(pair: Path) -> Path:
    """One without."""
    shutil.rmtree(FLOAT)
    return pair


@pytest.fixture
def bench(edgepack: Callable[..., Any]) -> Callable[..., Any]:
    """Three rounds are enough to see what is done."""
    return lambda *args, **env: edgepack("bench", *args, "--rounds", 3, **env)


def reseal(bundle: Path, **changes: Any) -> None:
    """What somebody does who changes a bundle and its hashes."""
    manifest = Manifest.model_validate_json((bundle / "manifest.json").read_text())
    seal(bundle, manifest.model_copy(update=changes))


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_bundle_is_measured_beside_its_float_sibling(pair: Path, bench: Callable[..., Any]) -> None:
    done = bench(pair, "--json")
    assert done.code == 0
    assert done.json["error"] is None
    assert (done.json["threads"], done.json["rounds"]) == (1, 3)
    int8, float32 = done.json["bundles"]
    assert [(each["name"], each["named"]) for each in (int8, float32)] == [
        (INT8.name, True),
        (FLOAT.name, False),
    ]
    assert int8["ops_by_precision"] == {"int8": 2}
    assert int8["float_sibling"] == {"path": str(FLOAT), "missing": "", "command": ""}
    assert int8["to_float"]["size"] == pytest.approx(
        int8["artifact_bytes"] / float32["artifact_bytes"], abs=1e-4
    )
    assert int8["to_float"]["latency_p10"] <= int8["to_float"]["latency"] <= int8["to_float"]["latency_p90"]
    assert float32["to_float"] is None
    for each in (int8, float32):
        latency = each["latency_ms"]
        assert 0 < latency["p10"] <= latency["median"] <= latency["p90"]
        assert len(latency["round_medians"]) == 3
        assert latency["first"] > 0
        assert each["load_ms"] > 0
        assert each["memory_bytes"] >= 0
        assert each["bundle_bytes"] == sum(
            path.stat().st_size for path in Path(each["path"]).rglob("*") if path.is_file()
        )
        assert 0 < each["download_bytes"] < each["bundle_bytes"]


def test_people_get_tables_that_fit_80_columns_and_no_word_of_devices(
    pair: Path, bench: Callable[..., Any]
) -> None:
    done = bench(pair, COLUMNS="80")
    assert done.code == 0
    assert done.out == ""
    assert max(len(line.rstrip()) for line in done.err.splitlines()) <= 80
    assert "fake_models 1.0.0 on this machine" in done.err
    assert "not of a phone, a board or a browser" in done.err
    assert re.search(r"^fake-int8 .* x \d\.\d\d +x \d+\.\d\d to \d+\.\d\d", done.err, re.MULTILINE)


def test_without_a_float_sibling_the_command_that_builds_it_is_told_and_works(
    bundle: Path, bench: Callable[..., Any], edgepack: Callable[..., Any]
) -> None:
    done = bench(bundle, "--threads", 2, "--json")
    assert done.code == 0
    (alone,) = done.json["bundles"]
    assert alone["to_float"] is None
    assert str(FLOAT) in alone["float_sibling"]["missing"]
    assert "fake-int8 has no float sibling" in done.err
    assert "numpy, cannot obey --threads 2" in done.err
    assert (done.json["threads"], alone["threads"]) == (2, 1)
    words = shlex.split(alone["float_sibling"]["command"])
    assert words[0] == "edgepack"
    paths = [f"{PLUGIN}/{word}" if word.startswith("fake_models.py") else word for word in words[1:]]
    assert edgepack(*paths).code == 0
    assert len(line_up([bundle])) == 2


def alone(bundle: Path) -> Entrant:
    (entrant,) = line_up([bundle])
    assert entrant.sibling is None
    return entrant


def test_the_command_names_the_folder_where_bundles_are(bundle: Path) -> None:
    shutil.move("dist", "my bundles")
    assert alone(Path("my bundles") / bundle.name).command.endswith("--out 'my bundles'")


@pytest.mark.parametrize(
    "command", ["curl evil --precision int8", "edgepack build \x1b[2J --precision int8", "edgepack 'build"]
)
def test_a_command_that_is_not_edgepacks_is_not_passed_on(bundle: Path, command: str) -> None:
    reseal(bundle, command=command)
    assert alone(bundle).command == "edgepack build --precision float32"


def test_a_bundle_of_another_source_is_no_sibling(pair: Path) -> None:
    source = Manifest.model_validate_json((FLOAT / "manifest.json").read_text()).source
    reseal(FLOAT, source=source.model_copy(update={"sha256": "0" * 64}))
    assert "another source" in alone(pair).alone


def test_a_float_bundle_needs_no_sibling(pair: Path) -> None:
    assert alone(FLOAT).alone == ""


def test_a_sibling_that_is_named_too_is_measured_once(pair: Path) -> None:
    float32, int8 = line_up([FLOAT, pair])
    assert (float32.named, int8.named) == (True, True)
    assert (float32.sibling, int8.sibling) == (None, 0)


def test_several_targets_each_beside_its_own_sibling(pair: Path) -> None:
    entrants = line_up([pair.with_name("fake_models-1.0.0-twin-int8"), pair])
    assert [each.label for each in entrants] == ["twin-int8", "twin-float32", "fake-int8", "fake-float32"]
    assert [each.sibling for each in entrants] == [1, None, 3, None]


def test_bundles_of_one_name_go_by_their_paths(pair: Path) -> None:
    shutil.copytree("dist", "other")
    labels = [each.label for each in line_up([pair, Path("other") / pair.name])]
    assert labels == [str(INT8), str(FLOAT), f"other/{INT8.name}", f"other/{FLOAT.name}"]


def test_a_folder_that_is_the_current_one(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pair)
    assert len(line_up([Path()])) == 2


def test_a_changed_bundle_is_refused_before_anything_runs(pair: Path, bench: Callable[..., Any]) -> None:
    flip_a_byte(pair / "weights.npz")
    done = bench(pair, "--json")
    assert done.code == 2
    assert f"{pair}: 'weights.npz'" in done.json["error"]["message"]
    assert "on this machine" not in done.err


def test_a_changed_sibling_is_refused(pair: Path) -> None:
    flip_a_byte(FLOAT / "kit/use.txt")
    with pytest.raises(UsageError, match=f"{FLOAT}: 'kit/use.txt'"):
        line_up([pair])


def test_what_is_no_bundle_is_refused(pair: Path) -> None:
    with pytest.raises(UsageError, match="nowhere is not a bundle"):
        line_up([pair, Path("nowhere")])


def test_the_same_bundle_twice_is_refused(pair: Path) -> None:
    Path("link").symlink_to(pair)
    with pytest.raises(UsageError, match="link was given twice"):
        line_up([pair, Path("link")])


def test_no_bundle_at_all_is_refused(bench: Callable[..., Any]) -> None:
    assert bench().code == 2


def test_a_bundle_that_cannot_run_here_is_named_with_the_reason(
    pair: Path, bench: Callable[..., Any]
) -> None:
    reseal(pair, backends={"": "no kernel for 'x'"})
    done = bench(pair, "--json")
    assert done.code == 3
    assert done.json["error"]["message"].startswith("fake-int8: ")
    assert "no kernel for 'x'" in done.json["error"]["message"]


def test_a_runtime_that_is_not_installed_is_named_with_what_brings_it(
    bundle: Path, bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = Path("hidden").absolute()
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'fake_target.target': raise ModuleNotFoundError(name, name='fake_runtime')\n"
        "sys.meta_path.insert(0, Hide)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(hidden), prepend=":")
    done = bench(bundle, "--json")
    assert done.code == 4
    assert "'fake_runtime'" in done.json["error"]["message"]
    assert "edgepack[fake]" in done.json["error"]["hint"]


def test_a_page_that_cannot_be_written_is_refused_before_anything_runs(
    bundle: Path, bench: Callable[..., Any]
) -> None:
    for place in ("dist", "no/such/folder.html"):
        done = bench(bundle, "--html", place)
        assert done.code == 2
        assert f"{place} cannot be written" in done.err
        assert "on this machine" not in done.err


def test_the_page_stands_alone_and_what_a_bundle_says_is_escaped_in_it(
    pair: Path, bench: Callable[..., Any]
) -> None:
    reseal(pair, precision="<script>alert(1)</script>", command="edgepack build <b> --precision int8")
    done = bench(pair, "--html", "bench.html", "--json")
    assert done.code == 0
    assert json.loads(done.out)["error"] is None
    page = Path("bench.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2  # a wide and a narrow one
    assert "fake-float32" in page
    assert "alert(1)" in page
    assert "default-src 'none'" in page
    assert not re.search(r"<script|<b>|<link|<img|href=|src=|url\(", page)


def cost(*rounds: tuple[float, ...]) -> Cost:
    return Cost("numpy", 1, (Start(0.1, 0.1),), rounds, 0, {})


def test_what_drifts_for_both_drops_out_of_the_ratio() -> None:
    drift = (1.0, 1.5, 2.0, 4.0)
    own, other = cost(*((0.5 * each,) for each in drift)), cost(*((each,) for each in drift))
    ratio = ratio_of(own, other, 0.25)
    assert ratio.latency == Spread(0.5, 0.5, 0.5)
    assert ratio.beyond_noise
    assert ratio.size == 0.25


def test_a_difference_within_the_scatter_is_noise() -> None:
    own, other = cost((0.9,), (1.1,), (1.0,), (1.05,)), cost((1.0,), (1.0,), (1.0,), (1.0,))
    assert not ratio_of(own, other, 1.0).beyond_noise


def test_slow_bundles_get_few_rounds_and_quick_ones_not_without_end() -> None:
    assert rounds_for([Turn(1, 0, 60.0), Turn(1, 0, 60.0)]) == MIN_ROUNDS
    assert rounds_for([Turn(100, 11, 1e-6)]) == MAX_ROUNDS
    assert MIN_ROUNDS < rounds_for([Turn(1, 0, 0.3)]) < MAX_ROUNDS
