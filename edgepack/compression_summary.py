"""What compression came to, before and after, for people and for machines."""

from __future__ import annotations

from .compress.sizes import deflated
from .console import format_bytes, format_seconds
from .jobs import Job

COLUMNS = ("smaller", "before", "after", "")
NUMBERS = frozenset({1, 2, 3})


def rows(job: Job) -> list[tuple[str, str, str, str]]:
    """A table of a target's bundle, under ``COLUMNS``; empty without compression."""
    found = figures(job)
    if not found:
        return []

    def line(title: str, name: str, words: str = "{:,.0f}", before: str = "") -> tuple[str, str, str, str]:
        was, now = found[before or f"{name} before"], found[name]
        return title, words.format(was), words.format(now), f"x {now / was:.2f}" if was else ""

    def size(title: str, name: str) -> tuple[str, str, str, str]:
        was, now = found[f"{name} before"], found[name]
        return title, format_bytes(int(was)), format_bytes(int(now)), f"x {now / was:.2f}"

    nonzero = found["weights"] - found["zeros"]
    lines = [
        line("weights", "weights"),
        ("  not zero", "", f"{nonzero:,.0f}", f"x {nonzero / found['weights before']:.2f}"),
        line("MACs a sample", "macs"),
        size("model", "bytes"),
        size("  zipped", "zipped"),
    ]
    if "latency" in found:
        was, now = (format_seconds(found[name] / 1000) for name in ("latency before", "latency"))
        lines.append(("latency, one thread, here", was, now, f"x {found['latency ratio']:.2f}"))
    was, now = (f"{100 * found[f'artifact agreement{when}']:.1f} %" for when in (" before", ""))
    cost = 100 * (found["artifact agreement"] - found["artifact agreement before"])
    lines.append(("agrees with the original", was, now, f"{cost:+.1f}"))
    lines.append(("whole bundle, zipped", "", format_bytes(int(found["bundle zipped"])), ""))
    return lines


def figures(job: Job) -> dict[str, float]:
    """The manifest's, and those that are no part of a bundle: latency, and its own bytes."""
    if job.manifest is None or not job.manifest.compression or job.path is None:
        return {}
    files = (path for path in job.path.rglob("*") if path.is_file())
    return {**job.manifest.compression, **job.latency, "bundle zipped": deflated(files)}
