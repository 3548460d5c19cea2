"""The command line: help, exit codes, and one JSON document on stdout where it was asked for."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from edgepack import __version__, build_command
from edgepack.cli import cli
from edgepack.options import PRECISIONS
from edgepack.project import Project, load
from edgepack.spec import AUTO, Precision

Run = Callable[..., Any]


def test_help_names_every_command_and_exit_code(edgepack: Run) -> None:
    done = edgepack("--help")
    assert done.code == 0
    for name in cli.commands:
        assert f"  {name} " in done.out
    for meaning in (
        "0 done",
        "1 a gate",
        "2 wrong usage",
        "3 the model",
        "4 a tool",
        "5 a fault",
        "130 interrupted",
    ):
        assert meaning in " ".join(done.out.split())


@pytest.mark.parametrize("name", cli.commands)
def test_every_command_and_option_is_explained(name: str) -> None:
    command = cli.commands[name]
    assert command.help
    assert not command.get_short_help_str(60).endswith("...")  # fits the list of commands
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    done = CliRunner().invoke(cli, [name, "--help"])
    assert done.exit_code == 0
    assert f"Usage: edgepack {name}" in done.output.replace("cli ", "edgepack ")


def test_version(edgepack: Run) -> None:
    done = edgepack("--version")
    assert (done.code, done.out.strip()) == (0, f"edgepack, version {__version__}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "--no-such-option"], "No such option"),
        (["biuld"], "No such command 'biuld'"),
        (["build", "m.keras", "--samples", "0"], "0 is not in the range x>=1"),
        (["build", "m.keras", "--precision", "int4"], "'int4' is not one of"),
        (["build", "m.keras", "extra"], "unexpected extra argument"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["inspect"], "Missing argument"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_says_so_on_stderr(
    edgepack: Run, arguments: list[str], message: str
) -> None:
    done = edgepack(*arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_without_a_command_there_is_help(edgepack: Run) -> None:
    done = edgepack()
    assert done.code in (0, 2)  # click 8.1, click 8.2
    assert "Usage: edgepack" in done.out + done.err


def test_an_error_for_people_is_on_stderr_with_what_to_do_next(edgepack: Run) -> None:
    done = edgepack("build", "nowhere.keras", "--data", "x.npz")
    assert (done.code, done.out) == (2, "")
    assert "error: There is no source at nowhere.keras." in done.err
    assert "next:" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (["nowhere.keras", "--data", "x.npz"], 2, "usage"),
        ([], 2, "usage"),
        (["m.py:build", "--data", "x.npz", "--target", "fak"], 2, "usage"),
    ],
)
def test_an_error_before_the_build_is_one_json_document_too(
    edgepack: Run, arguments: list[str], code: int, kind: str
) -> None:
    done = edgepack("build", *arguments, "--json")
    assert done.code == code
    assert done.json["error"]["kind"] == kind
    assert done.json["error"]["message"]
    assert done.json["error"]["hint"]


def test_noise_of_the_users_code_stays_out_of_the_json(build: Run) -> None:
    done = build("--json", source="noisy")
    assert done.code == 0
    assert done.json["bundles"][0]["error"] is None
    assert "from the user's code" not in done.out + done.err


def test_debugging_shows_that_noise_on_stderr_and_keeps_the_json_whole(build: Run) -> None:
    done = build("--json", "--debug", source="noisy")
    assert done.code == 0
    assert done.json["bundles"][0]["error"] is None
    assert "from the user's code" in done.err


def test_a_fault_shows_its_traceback_only_for_debugging(build: Run) -> None:
    plain, debugging = build(source="dies"), build("--debug", source="dies")
    assert (plain.code, debugging.code) == (5, 5)
    assert "exit code 7" in plain.err


def test_the_users_own_traceback_is_always_shown(build: Run) -> None:
    done = build(source="raises")
    assert done.code == 3
    assert 'return {}["no such key"]' in done.err
    assert "edgepack/worker.py" not in done.err


def test_targets_are_listed_for_people_and_machines(edgepack: Run) -> None:
    people, machine = edgepack("targets"), edgepack("targets", "--json")
    assert people.code == machine.code == 0
    assert people.out == ""
    listed = {(entry["name"], entry["runtime"]): entry for entry in machine.json}
    assert listed["fake", ""] == {
        "name": "fake",
        "runtime": "",
        "summary": "Plain numpy: the core's own tests",
        "precisions": ["int8", "float32"],
    }
    assert listed["twin", "framed"]["precisions"] == ["float32"]
    assert "twin --runtime framed" in people.err
    assert all(name in people.err for name, _ in listed)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_back_into_edgepack(edgepack: Run, shell: str) -> None:
    done = edgepack("completion", shell)
    assert done.code == 0
    assert "_EDGEPACK_COMPLETE" in done.out


def test_completion_knows_the_options(edgepack: Run, workspace: Path) -> None:
    script = edgepack("completion", "bash").out
    Path("complete.bash").write_text(script)
    assert subprocess.run(["bash", "-n", "complete.bash"]).returncode == 0
    done = edgepack(_EDGEPACK_COMPLETE="bash_complete", COMP_WORDS="edgepack build --prec", COMP_CWORD="2")
    assert "--precision" in done.out


def test_the_flag_offers_the_precisions_there_are() -> None:
    assert list(PRECISIONS) == [*Precision, AUTO]


EVERY_FLAG = [
    "m.keras", "--data", "d.npz", "--target", "fake", "--precision", "auto", "--take", "2", "--io", "float", "--runtime", "litert", "--layout", "keep",
    "--gate", "sqnr_db>=1,cosine>=0.5,argmax_agreement>=0.5,max_abs<=2,top1_drop<=1", "--out", "o", "--zip", "--name", "n",
    "--model-version", "9", "--labels", "l.txt", "--signature", "s", "--shape", "x=1x2",
    "--input", "x:kind=image,rate=16000,layout=NCHW,channels=bgr,scale=2,offset=1/2/3,mean=4,std=5",
    "--output", "y:activation=softmax,top_k=3", "--samples", "9", "--evaluation", "e.csv", "--metric", "top5", "--calibration", "8", "--held-back", "7",
    "--allow-code", "--device", "host", "--prune", "0.5", "--prune-channels", "0.2", "--low-rank", "0.1", "--cluster", "16", "--recover-minutes", "3", "--no-augment", "--keep-layer", "stem",
]  # fmt: skip
NOT_KEYS = {"source", "config", "at_once", "force", "as_json", "debug"}


def parse(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> Project:
    found: list[Project] = []

    def note(options: dict[str, Any]) -> int:
        found.append(load(None, build_command.flags(options)))
        return 0

    monkeypatch.setattr(build_command, "run", note)
    done = CliRunner().invoke(cli, ["build", *arguments])
    assert done.exit_code == 0, done.output
    return found[0]


def test_every_key_of_the_file_has_a_flag(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = parse(EVERY_FLAG, monkeypatch)
    tables = [
        project.model,
        project.data,
        project.build,
        project.gate,
        project.compress,
        project.input["x"],
        project.output["y"],
    ]
    for table in tables:
        unset = set(type(table).model_fields) - table.model_fields_set
        assert not unset, f"{type(table).__name__} has keys without a flag"


def test_every_flag_is_a_key_of_the_file() -> None:
    given = {word for word in EVERY_FLAG if word.startswith("--")}
    flags = {option.opts[0] for option in cli.commands["build"].params if option.name not in NOT_KEYS}
    assert flags == given


def test_flags_that_are_not_given_set_nothing(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = parse(["m.keras"], monkeypatch)
    assert project == load(None, {"model": {"source": "m.keras"}})
    assert project.build.model_fields_set == set()


def test_all_means_every_target_once(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = parse(["m.keras", "--target", "all", "--target", "fake"], monkeypatch)
    assert {"fake", "tflite"} <= set(project.build.targets)
    twice = parse(["m.keras", "--target", "fake", "--target", "fake"], monkeypatch)
    assert twice.build.targets == ("fake",)
