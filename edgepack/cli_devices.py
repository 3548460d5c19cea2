"""``edgepack devices`` and what is below it: parsed here, done in devices_command."""

from __future__ import annotations

import sys

import click

from . import options


@click.group(invoke_without_command=True)
@options.as_json
@click.pass_context
def devices(context: click.Context, as_json: bool) -> None:
    """Where bundles can be proven, and what is installed for it."""
    if context.invoked_subcommand is None:
        from . import devices_command

        sys.exit(devices_command.run(as_json))


@devices.command("install")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--target", "targets", multiple=True, metavar="T", help="For which bundles; repeat. [tflite]")
@options.as_json
@options.debug
def install_devices(names: tuple[str, ...], targets: tuple[str, ...], as_json: bool, debug: bool) -> None:
    """Install emulated devices into edgepack's cache folder.

    As any user. What devices share is there once.
    """
    from . import devices_command

    sys.exit(devices_command.install(names, targets or ("tflite",), as_json))


@devices.command("remove")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options.as_json
@options.debug
def remove_devices(names: tuple[str, ...], as_json: bool, debug: bool) -> None:
    """Remove what only these devices need."""
    from . import devices_command

    sys.exit(devices_command.remove(names, as_json))
