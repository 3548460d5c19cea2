"""The command line: parse, call, print. The only place that exits."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from . import __version__, options
from .cli_devices import devices
from .errors import EdgepackError, InternalError, UsageError

# Only what is needed to print help is imported above; a command imports the rest when it runs.

INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="edgepack")
def cli() -> None:
    """Trained models onto phones, boards and web pages: small, fast, and proven
    to compute what the original computes.

    \b
    edgepack build model.keras --data samples.npz     one bundle, int8, proven
    edgepack init                                     start a project
    edgepack inspect dist/model-1.0.0-tflite-int8     what is truly in it
    edgepack verify dist/model-1.0.0-tflite-int8 --device raspberry-pi-4
    edgepack bench dist/model-1.0.0-tflite-int8       beside its float sibling

    Exit codes: 0 done; 1 a gate was not met, nothing shipped; 2 wrong usage,
    config or data; 3 the model cannot be loaded or converted; 4 a tool or extra
    is missing; 5 a fault of edgepack's own; 130 interrupted.
    """


@cli.command()
@click.argument("source", required=False)
@options.build
@options.as_json
@options.debug
def build(**given: Any) -> None:
    """Build a model into proven bundles.

    Without SOURCE, builds what edgepack.toml in this folder names.

    SOURCE is a .keras or .h5 file, a SavedModel folder, or code that makes a
    model: file.py:factory, package.module:factory.
    """
    from . import build_command

    sys.exit(build_command.run(given))


@cli.command()
@click.argument("source", required=False)
@options.build
@options.as_json
@options.debug
def tune(**given: Any) -> None:
    """What a model can be had for: size, accuracy, speed.

    Tries plans as --precision auto does, and more, and prints those that no
    other beats in both size and accuracy. Takes what edgepack build takes;
    --take N builds the plan of that number.
    """
    from . import tune_command

    sys.exit(tune_command.run(given))


@cli.command()
@click.argument("source", required=False)
@options.build
@click.option("--curve", is_flag=True, help="Try many budgets; draw agreement against size.")
@options.as_json
@options.debug
def compress(curve: bool, **given: Any) -> None:
    """Make a model smaller, and see what each layer gives.

    Takes the options of build, which ships what is found without computing it
    again. With --curve, tries budgets of every method in the target's runtime, by
    the closed form unless --recover-minutes is given; names the best that passes.
    """
    from . import compress_command

    compress_command.run(given, curve)


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--ops", is_flag=True, help="List every op.")
@click.option("--layers", is_flag=True, help="How far every layer is from float32, and why.")
@options.as_json
@options.debug
def inspect(path: Path, ops: bool, layers: bool, as_json: bool, debug: bool) -> None:
    """What is truly in a bundle or a .tflite file.

    PATH is a bundle's folder or .zip, or a bare .tflite file, whoever made it.
    """
    from . import inspect_command

    inspect_command.run(path, ops, layers, as_json)


@cli.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--device", "devices", multiple=True, metavar="NAME", help="Where to replay it; repeat. [host]")
@click.option("--trace", "traced", is_flag=True, help="Where it fails, find the first layer that differs.")
@options.as_json
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="JUnit XML.")
@options.debug
def verify(
    bundle: Path, devices: tuple[str, ...], traced: bool, as_json: bool, junit: Path | None, debug: bool
) -> None:
    """Prove a bundle again, on each device.

    Checks the hash of every file of BUNDLE, a folder or a .zip, then replays its
    golden vectors. Answers are held against the original's by the bundle's gate,
    and against this machine's: int8 must be the same bit for bit. The backends
    of a browser are a row each. See edgepack devices.
    """
    from . import verify_command

    sys.exit(verify_command.run(verify_command.Request(bundle, devices, traced, as_json, junit)))


@cli.command()
@click.argument("bundles", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--threads", type=click.IntRange(1, 256), default=1, metavar="N", help="To compute with. [1]")
@click.option(
    "--rounds", type=click.IntRange(1, 1000), metavar="N", help="[as many as take 5 s a bundle, 3 to 50]"
)
@click.option(
    "--html", type=click.Path(path_type=Path), metavar="FILE", help="Also write a page with a chart."
)
@options.as_json
@options.debug
def bench(
    bundles: tuple[Path, ...], threads: int, rounds: int | None, html: Path | None, as_json: bool, debug: bool
) -> None:
    """What bundles cost on this machine.

    Each of the folders BUNDLES is measured beside its float sibling, if that
    lies next to it: the bundle of the same name, version, target and source in
    float32.
    Every one is loaded in a process of its own, and all are asked in turns, in
    a shuffled order, so that what drifts drifts for all. Bundles for a web page
    run in Node. These are no times of a phone or a board.

    \b
    first     the first call of a fresh process
    median    of all later calls: the runtime alone, on inputs as it stores them
    p90       nine of ten calls are faster
    to float  the median over all rounds of the ratio to the float sibling;
              eight of ten rounds are within the range beside it: the noise
    load      from the artifact's files, read before, to ready; the start of the
              runtime itself is not counted
    memory    how far the process's resident memory rose above what it was
              before the artifact was loaded, at its highest (VmHWM of Linux)
    download  compressed: what a page fetches on its first visit; else the
              artifact by gzip
    """
    from . import bench_command

    bench_command.run(bundles, rounds, threads, html, as_json, debug)


cli.add_command(devices)


@cli.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="[a free one]")
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@options.debug
def serve(bundle: Path, port: int, no_open: bool, debug: bool) -> None:
    """Try a bundle's web page, on this machine.

    BUNDLE is the folder or the .zip of a bundle for tfjs.
    """
    from . import serve_command

    serve_command.run(bundle, port, show=not no_open)


@cli.command()
@click.argument("directory", type=click.Path(path_type=Path), default=".")
@options.debug
def init(directory: Path, debug: bool) -> None:
    """Start a project that builds as it stands.

    Writes a commented edgepack.toml and a model.py.
    """
    from .scaffold import write_project

    for path in write_project(directory):
        click.echo(f"wrote {path}", err=True)
    where = "" if directory == Path() else f"cd {directory} && "
    click.echo(f"next:  {where}edgepack build", err=True)


@cli.command()
@options.as_json
def targets(as_json: bool) -> None:
    """The targets there are."""
    from . import targets_command

    targets_command.run(as_json)


@cli.command()
@options.as_json
def doctor(as_json: bool) -> None:
    """What is installed and what is missing."""
    from . import doctor_command

    sys.exit(doctor_command.run(as_json))


@cli.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  eval "$(edgepack completion bash)"
    zsh:   eval "$(edgepack completion zsh)"
    fish:  edgepack completion fish | source
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:  # click.Choice has let only known shells through
        raise InternalError(f"click knows no completion for {shell}.")
    click.echo(kind(cli, {}, "edgepack", "_EDGEPACK_COMPLETE").source())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every error leaves by its documented exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    as_json, debug = "--json" in arguments, "--debug" in arguments
    try:
        cli.main(arguments, prog_name="edgepack", standalone_mode=False)
        code = 0
    except click.exceptions.Exit as end:
        code = end.exit_code
    except click.ClickException as error:
        error.show()
        code = _fail(UsageError(error.format_message()), as_json, shown=True)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; nothing was changed", err=True)
        code = INTERRUPTED
    except EdgepackError as error:
        code = _fail(error, as_json, debug)
    except Exception as error:  # whatever it is, it is ours
        ours = InternalError(f"{type(error).__name__}: {error}", "Report it with what --debug prints.")
        code = _fail(ours, as_json, debug)
    sys.exit(code)


def _fail(error: EdgepackError, as_json: bool, debug: bool = False, shown: bool = False) -> int:
    """Print an error to people, and to a machine that asked for JSON; returns its exit code."""
    if debug:
        traceback.print_exc()
    if not shown:
        from .console import Console

        Console().error(error)
    if as_json:
        click.echo(json.dumps({"error": as_table(error)}, indent=2))
    return error.exit_code


def as_table(error: EdgepackError) -> dict[str, str]:
    return {"kind": error.kind, "message": error.message, "hint": error.hint}


if __name__ == "__main__":
    main()
