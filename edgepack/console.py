"""What a person sees: steps with durations on stderr, warnings, errors and the closing table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console as RichConsole
from rich.markup import escape as escape_markup
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from .errors import EdgepackError, InternalError
from .events import Event, Listener, StepAdvanced, StepEnded, StepStarted, Warned

LABEL_WIDTH = 13

UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What steers a terminal, or turns the direction of its text; names come from models and bundles of strangers."""


class Console:
    """Draws events on stderr. A context manager: the line of the step under way lives inside it."""

    def __init__(self, quiet: bool = False) -> None:
        self._rich = RichConsole(stderr=True, quiet=quiet, highlight=False)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[count]}", style="dim"),
            TimeElapsedColumn(),
            console=self._rich,
            transient=True,
        )

    def __enter__(self) -> Console:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def lane(self, label: str = "") -> Listener:
        """Draws the events of one worker, on a line of its own while a step is under way; labelled beside others."""
        task = self._progress.add_task("", visible=False, count="")
        prefix = f"{label:<{LABEL_WIDTH}}" if label else ""

        def draw(event: Event) -> None:
            match event:
                case StepStarted(name):
                    self._progress.reset(task, description=prefix + name, visible=True, count="")
                case StepAdvanced(_, done, total, text):
                    count = f"{done}/{total}" if total else f"{done}"
                    self._progress.update(task, count=f"{count}  {escape(text)}" if text else count)
                case StepEnded(name, seconds, ok, detail):
                    self._progress.update(task, visible=False)
                    mark = "[green]✓[/]" if ok else "[red]✗[/]"
                    self._rich.print(
                        f"{mark} {escape(prefix)}{escape(name):<18} [dim]{seconds:6.1f} s[/]  {escape(detail)}"
                    )
                case Warned(text):
                    self._rich.print(f"[yellow]![/] {escape(prefix)}{escape(text)}")

        return draw

    def heading(self, text: str) -> None:
        self._rich.print(f"[bold]{escape(text)}[/]")

    def line(self, text: str) -> None:
        self._rich.print(escape(text))

    def command(self, text: str) -> None:
        """To be copied: in one line, however long."""
        self._rich.print(f"  {escape(text)}", soft_wrap=True)

    def error(self, error: EdgepackError, debug: bool = False) -> None:
        """What happened, then what to do next; edgepack's own traceback only for ``debug``."""
        self._rich.print(f"[bold red]error:[/] {escape(error.message)}")
        if error.details and (debug or not isinstance(error, InternalError)):
            self._rich.print(escape(error.details.rstrip()), style="dim")
        if error.hint:
            advice, *commands = error.hint.split("\n  ")
            self._rich.print(f"[bold]next:[/]  {escape(advice)}")
            for command in commands:
                self.command(command)

    def table(
        self,
        columns: tuple[str, ...],
        rows: Sequence[tuple[str, ...]],
        numbers: frozenset[int] = frozenset(),
        names: frozenset[int] = frozenset(),
    ) -> None:
        """A plain table that fits 80 columns.

        Args:
            numbers: the columns that are set flush right.
            names: the columns whose words are to be copied: they stay in one piece.
        """
        table = Table(box=None, pad_edge=False, header_style="bold")
        for index, column in enumerate(columns):
            right = index in numbers
            whole = right or index in names
            table.add_column(
                escape(column), justify="right" if right else "left", overflow="fold", no_wrap=whole
            )
        for row in rows:
            table.add_row(*map(escape, row))
        self._rich.print(table)


def escape(text: str) -> str:
    """Text as it is, and no more than text."""
    return escape_markup(UNSEEN.sub("\ufffd", text))


def format_bytes(size: int) -> str:
    """1,234,567 as ``1.23 MB``."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 1000 or unit == "GB":
            break
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"


def format_seconds(seconds: float) -> str:
    """0.00123 as ``1.23 ms``."""
    for unit, scale in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        value = seconds * scale
        if value >= 1 or unit == "µs":
            break
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"
