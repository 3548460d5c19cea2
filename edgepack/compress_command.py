"""``edgepack compress``: what each layer gives, or the curve of agreement against size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from . import frameworks, pipeline, readers, recording, registry, sources, worker
from .build_command import read_project
from .bundle import charts
from .bundle.command import command_line
from .bundle.manifest import bundle_name
from .bundle.writer import folder, scratch_folder
from .compress.budget import Budget, sweep
from .compress.sizes import LayerSize
from .console import Console, format_bytes
from .curve import page
from .curve.sweep import Curve, Point
from .curve.sweep import sweep as run_sweep
from .errors import UsageError
from .events import Listener
from .pipeline import Recorded
from .project import Project
from .registry import TargetInfo


def run(options: dict[str, Any], curve: bool) -> None:
    """Compress and print. Raises EdgepackError."""
    if curve and options["recover_minutes"] is None:
        options = {**options, "recover_minutes": 0.0}
    project = read_project(options)
    _check(project, curve)
    console = Console()
    with console:
        console.heading(f"{project.name} {project.model.version}: {project.model.source}")
        listener, debug = console.lane(), options["debug"]
        infos = [registry.target(name, project.build.runtime) for name in project.build.targets]
        if curve:
            found = [_curve(project, info, listener, debug) for info in infos]
        else:
            layers = _layers(project, infos[0], listener, debug)
    if not curve:
        _show_layers(console, *layers)
        document: dict[str, Any] = {"compression": layers[0], "layers": [asdict(each) for each in layers[2]]}
    else:
        document = {"curves": [_show_curve(console, project, each) for each in found]}
    if options["as_json"]:
        click.echo(json.dumps(document, indent=2))


def _check(project: Project, curve: bool) -> None:
    """Refuse what would come to nothing, before anything heavy starts. Raises UsageError, ModelError."""
    sources.check(project.model.source)
    readers.check(project.data.representative)
    if project.compress.is_auto:
        raise UsageError(
            "--prune auto chooses for a target and its gate, which edgepack build knows.",
            "Leave it out: --curve shows what there is to choose from.",
        )
    if curve and not sweep(Budget.given(project.compression)):
        raise UsageError(
            "Every method has its amount, so there is nothing to draw a curve of.",
            "Leave out the method whose curve you want.",
        )
    if not curve and not project.compression.is_any:
        raise UsageError(
            "There is nothing to do: no amount is given.",
            "Give --prune 0.5 or --cluster 32; or --curve, to see what can be asked for.",
        )


def _curve(project: Project, info: TargetInfo, listener: Listener, debug: bool) -> Curve:
    """All points of one target."""
    with _work(project, info, listener, debug) as (recorded, shared):
        return worker.run(
            run_sweep,
            project,
            info.name,
            sweep(Budget.given(project.compression)),
            shared,
            recorded,
            env=frameworks.environment(info.forms),
            listener=listener,
            scratch=(shared,),
            debug=debug,
        )


def _layers(
    project: Project, info: TargetInfo, listener: Listener, debug: bool
) -> tuple[dict[str, float], tuple[LayerSize, ...], tuple[LayerSize, ...]]:
    """What compression came to, and the sizes of the layers before and after."""
    with _work(project, info, listener, debug) as (recorded, shared):
        return worker.run(
            pipeline.compressed,
            project,
            info.name,
            shared,
            recorded,
            env=frameworks.environment(info.forms),
            listener=listener,
            scratch=(shared,),
            debug=debug,
        )


@contextmanager
def _work(
    project: Project, info: TargetInfo, listener: Listener, debug: bool
) -> Iterator[tuple[Recorded | None, Path]]:
    """A folder to work in, and what another framework's original was asked there."""
    sources.check_form(project.model.source, info)
    with scratch_folder() as shared:
        recorded = None
        if sources.is_asked_elsewhere(project.model.source, info.forms):
            recorded = recording.recorded(project, shared, listener, debug)
        yield recorded, shared


def _show_layers(
    console: Console,
    found: dict[str, float],
    before: tuple[LayerSize, ...],
    after: tuple[LayerSize, ...],
) -> None:
    rows = []
    for was, now in zip(before, after, strict=True):
        left = (now.weights - now.zeros) / was.weights
        # Learning moves weights, so that two more or two fewer may be alike by chance: a codebook halves them.
        touched = (now.weights, now.zeros) != (was.weights, was.zeros) or 2 * now.values <= was.values
        rows.append(
            (
                now.name,
                now.kind,
                f"{was.weights:,}",
                f"{100 * left:.0f} %" if touched else "as it was",
                f"{now.values:,}" if touched else "",
                f"{now.macs:,}",
            )
        )
    console.line("")
    console.table(
        ("layer", "kind", "weights", "not zero", "values", "MACs"), rows, numbers=frozenset({2, 3, 4, 5})
    )
    nonzero = int(found["weights"] - found["zeros"])
    console.line(
        f"\n{int(found['weights before']):,} weights, {nonzero:,} not zero now; "
        f"{100 * found['agreement']:.1f} % agree with the original on held-back samples."
    )
    console.line("edgepack build with the same options ships it; it need not be computed again.")


def _show_curve(console: Console, project: Project, curve: Curve) -> dict[str, Any]:
    """Print a target's table, write its page and chart; returns what --json tells."""
    best = curve.smallest
    console.line("")
    console.table(
        ("", curve.target, "zipped", "", "latency", "agrees", "gate"),
        [_row(point, curve, point is best) for point in curve.points],
        numbers=frozenset({2, 3, 4, 5}),
        names=frozenset({1, 6}),
    )
    for error in dict.fromkeys(point.error for point in curve.points if point.error):
        console.line(f"cannot be: {error}")
    command = _command(project, curve, best) if best else ""
    told = f"{best.budget.flags or 'the model as it is'}. This builds it:" if best else "none."
    console.line(f"\nThe smallest that meets the gate ({curve.gate}): {told}")
    if command:
        console.command(command)
    path = _write(project, curve, command)
    console.line(f"curve   {path}")
    return {
        "target": curve.target,
        "precision": curve.precision,
        "gate": curve.gate,
        "points": [{**asdict(each), "budget": dict(each.budget.amounts)} for each in curve.points],
        "smallest": {"budget": dict(best.budget.amounts), "command": command} if best else None,
        "page": str(path),
        "chart": str(path.with_suffix(".svg")),
    }


def _row(point: Point, curve: Curve, best: bool) -> tuple[str, ...]:
    name = str(point.budget)
    if point.error:
        return "", name, "", "", "", "", "cannot be"
    return (
        "*" if best else "",
        name,
        format_bytes(point.zipped),
        f"x {point.zipped / curve.points[0].zipped:.2f}",
        f"x {point.latency_ratio:.2f}",
        f"{100 * point.agreement:.1f} %",
        "passed" if point.passed else "failed",
    )


def _command(project: Project, curve: Curve, point: Point) -> str:
    """What builds a point."""
    target, _, runtime = curve.target.partition("-")
    return command_line(project.smaller_by(dict(point.budget.amounts)), target, runtime, whole_paths=True)


def _write(project: Project, curve: Curve, command: str) -> Path:
    """The page and the chart, in the folder where bundles go. Raises UsageError."""
    out = Path(project.build.out)
    name = bundle_name(project.name, project.model.version, curve.target, "", curve.precision)
    place = out / f"{name}.curve.html"
    with folder(out):
        text = page.render(f"{project.name} {project.model.version}", curve, command)
        place.write_text(text, encoding="utf-8")
        place.with_suffix(".svg").write_text(charts.standalone(page.chart(curve)), encoding="utf-8")
    return place
