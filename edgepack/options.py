"""The options of the command line that are many, or shared. Imports what printing help needs, and no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

PRECISIONS = ("int8", "int8_dynamic", "int16x8", "int16", "float16", "float32", "auto")

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
debug = click.option("--debug", is_flag=True, help="Show tracebacks and what the frameworks say.")

_BUILD = (
    click.option("--data", metavar="D", help="Samples: a .npz, a folder of images, or file.py:generator."),
    click.option(
        "--evaluation", metavar="E", help="Labelled samples: class folders, .csv, .npz or file.py:generator."
    ),
    click.option(
        "--metric",
        "metrics",
        multiple=True,
        metavar="M",
        help="Of the task: top1, top5, miou, map, recall, mae or file.py:function; repeat.",
    ),
    click.option(
        "--target",
        "targets",
        multiple=True,
        metavar="T",
        help="Where it must run; repeat, or 'all'. [tflite]",
    ),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        help="auto: what is smallest and meets the gate, found by trying. [int8]",
    ),
    click.option(
        "--take",
        type=click.IntRange(1),
        metavar="N",
        help="With auto: the plan of that number in edgepack tune. [the best]",
    ),
    click.option("--runtime", metavar="NAME", help="litert: the page of tfjs around a .tflite, int8 inside."),
    click.option(
        "--io", type=click.Choice(("auto", "float")), help="float: inputs and outputs stay float32. [auto]"
    ),
    click.option(
        "--layout",
        type=click.Choice(("auto", "keep")),
        help="keep: images channels first, as PyTorch. [auto]",
    ),
    click.option("--gate", metavar="EXPR", help='What must be met: "sqnr_db>=20, top1_drop<=0.5".'),
    click.option(
        "--device",
        "devices",
        multiple=True,
        metavar="NAME",
        help="Where it must pass too; repeat. See devices.",
    ),
    click.option(
        "--prune",
        metavar="R",
        help="Set this share of the layers' weights to zero; auto: as much of every method as the gate allows.",
    ),
    click.option(
        "--low-rank",
        type=float,
        metavar="R",
        help="Make two layers of one, with this share of the weights less.",
    ),
    click.option(
        "--prune-channels",
        type=float,
        metavar="R",
        help="Remove whole channels, with this share of the multiplications.",
    ),
    click.option("--cluster", type=int, metavar="K", help="Give a layer's weights K values at most."),
    click.option(
        "--recover-minutes",
        type=float,
        metavar="M",
        help="How long a compressed model may learn from the original. [5, where the gate asks for it]",
    ),
    click.option(
        "--no-augment",
        "augment",
        flag_value=False,
        default=None,
        help="Learn from samples as they are; else photographs are cut, tinted and mirrored too, floats mixed.",
    ),
    click.option(
        "--keep-layer", "keep", multiple=True, metavar="NAME", help="A layer not to compress; repeat."
    ),
    click.option("--out", metavar="DIR", help="Where bundles go. [dist]"),
    click.option("--zip", "zip_", is_flag=True, default=None, help="Also write the bundle as a .zip."),
    click.option("--name", help="The bundle's name. [the source's]"),
    click.option("--model-version", metavar="V", help="[1.0.0]"),
    click.option("--labels", metavar="FILE", help="Class labels, one a line."),
    click.option("--signature", metavar="NAME", help="Which signature of a SavedModel or tf.Module."),
    click.option(
        "--shape", "shapes", multiple=True, metavar="NAME=1x224x224x3", help="An input's unknown dimensions."
    ),
    click.option(
        "--input", "inputs", multiple=True, metavar="NAME:KEY=V,...", help="Pre-processing, as [input.NAME]."
    ),
    click.option(
        "--output",
        "outputs",
        multiple=True,
        metavar="NAME:KEY=V,...",
        help="Post-processing, as [output.NAME].",
    ),
    click.option("--samples", type=click.IntRange(1), metavar="N", help="Use at most N samples."),
    click.option(
        "--calibration", type=click.IntRange(1), metavar="N", help="At most N of them to calibrate."
    ),
    click.option("--held-back", type=click.IntRange(1), metavar="N", help="At most N of them to judge by."),
    click.option(
        "--allow-code", is_flag=True, default=None, help="Run Lambda layers stored in a model file."
    ),
    click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="[edgepack.toml, if there is no SOURCE]",
    ),
    click.option(
        "--jobs",
        "at_once",
        type=click.IntRange(1),
        metavar="N",
        help="Targets to build side by side. [processors]",
    ),
    click.option("--force", is_flag=True, help="Replace a folder that is no bundle."),
)


def build(command: Command) -> Command:
    """All that an edgepack.toml can say, and what one build alone is told."""
    for option in reversed(_BUILD):
        command = option(command)
    return command
