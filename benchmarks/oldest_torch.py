"""Which PyTorch can run the .ptl files that edgepack writes: small networks in every precision, asked of old releases.

python oldest_torch.py CACHE [--write]

Each release is installed into CACHE by pip, without the CUDA libraries that its wheel links: empty ones take their place
(g++ and binutils make them). That is 0.8 GB to fetch and 1.7 GB on the disk for each. Prints one JSON document: for each
release how many files it answers as the PyTorch that wrote them, and which it does not. Fails where a file is not
answered by a release that edgepack says can run it. --write renews targets/torchscript/releases.toml.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from oldest_torch_models import networks
from torch import nn

from edgepack.precision.plan import uniform_plan
from edgepack.spec import Precision, Signature, TensorSpec
from edgepack.targets._torch.model import Program
from edgepack.targets.torchscript import releases
from edgepack.targets.torchscript.archive import Archive, read
from edgepack.targets.torchscript.lowering import lower
from edgepack.targets.torchscript.target import target
from edgepack.targets.torchscript.writer import names

HERE = Path(__file__).parent
RELEASES = ("1.13.1", "2.0.1", "2.1.2", "2.4.1", "2.9.1")
PRECISIONS = (Precision.FLOAT32, Precision.INT8, Precision.INT8_DYNAMIC)
SAME_DB = 60.0
"""As the gate of float32 asks; kernels of other releases round otherwise."""

CUDA = re.compile(r"^(cu|nv|nccl|__cuda)")


class Flat(nn.Module):
    """A network as a program has it: it returns a tuple."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.network(*inputs)
        return tuple(_flat(found))


def _flat(found: Any) -> Iterator[torch.Tensor]:
    if isinstance(found, torch.Tensor):
        yield found
    else:
        for each in found:
            yield from _flat(each)


def pack(folder: Path) -> None:
    """Write NAME.ptl of every network in every precision, and NAME.npz: an input and the answers."""
    for name, (network, shape, dtype) in networks().items():
        rng = np.random.default_rng(3)
        samples = [{"x": _draw(rng, shape, dtype)} for _ in range(16)]
        module = Flat(network).eval().requires_grad_(False)
        example = torch.from_numpy(samples[0]["x"])
        outputs = tuple(
            TensorSpec(f"out_{i}", tuple(made.shape), str(made.dtype).removeprefix("torch."))
            for i, made in enumerate(module(example))
        )
        signature = Signature((TensorSpec("x", shape, dtype),), outputs)
        lowering = lower(Program(module, signature, (example,)), samples)
        for precision in PRECISIONS:
            with tempfile.TemporaryDirectory() as out:
                artifact = lowering.emit(uniform_plan(lowering, precision, "auto"), Path(out))
                answers = target.open(artifact)(samples[0])
                file = artifact.main.rename(folder / f"{name}-{precision.value}.ptl")
            np.savez(file.with_suffix(".npz"), in_0=samples[0]["x"], **answers)


def _draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    values = rng.integers(0, 50, shape) if dtype == "int64" else rng.normal(size=shape)
    return values.astype(dtype)


def replay(release: str, files: Path, cache: Path) -> dict[str, Any]:
    """What replay_ptl.py says in that release."""
    folder = cache / release
    if not folder.is_dir():
        wanted = [f"torch=={release}", "numpy<2"]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        subprocess.run([*command, *wanted], check=True)
        _empty_cuda(folder / "torch" / "lib", folder / "cuda")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / "replay_ptl.py"), str(files)],
        env={**os.environ, "PYTHONPATH": str(folder), "LD_LIBRARY_PATH": str(folder / "cuda")},
        capture_output=True,
        text=True,
        check=True,
    )
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["torch"].partition("+")[0] == release
    return said


def _empty_cuda(libraries: Path, out: Path) -> None:
    """Libraries with the names and symbols that these want of CUDA, and nothing behind them."""
    out.mkdir()
    found = [str(path) for path in libraries.glob("*.so*")]
    symbols = _words(["nm", "-D", "--undefined-only", *found], r"U (\w+)")
    needed = _words(["readelf", "-d", *found], r"NEEDED.*\[lib(.+)\]")
    (out / "all.c").write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in symbols))
    compile_ = ["g++", "-x", "c", "-w", "-shared", "-fPIC"]
    subprocess.run([*compile_, "-o", out / "liball.so", out / "all.c"], check=True)
    (out / "none.c").write_text("")
    for name in needed:
        if (libraries / f"lib{name}").exists():
            continue
        linked = [f"-Wl,-soname,lib{name}", "-Wl,--no-as-needed", f"-L{out}"]
        subprocess.run([*compile_, "-o", out / f"lib{name}", out / "none.c", *linked, "-lall"], check=True)


def _words(command: list[str], pattern: str) -> list[str]:
    text = subprocess.run(command, capture_output=True, text=True).stdout
    return sorted({found for found in re.findall(pattern, text) if CUDA.match(found)})


def since(schemas: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, int]]:
    """{release: {operator: number of arguments}}, for all that have changed since the oldest release.

    Args:
        schemas: by release, oldest first: operators and their arguments.
    """
    steps: dict[str, dict[str, int]] = {}
    for release, operators in schemas.items():
        for name, arguments in operators.items():
            known = steps.setdefault(name, {})
            if not known or len(arguments) > max(known.values()):
                known[release] = len(arguments)
    oldest = next(iter(schemas))
    found: dict[str, dict[str, int]] = {release: {} for release in schemas}
    for name, known in sorted(steps.items()):
        if name.startswith(releases.NAMESPACES) and list(known) != [oldest]:
            for release, count in known.items():
                found[release][name] = count
    return {release: operators for release, operators in found.items() if operators}


def write_table(said: dict[str, dict[str, Any]], ran: Iterable[str]) -> None:
    """Renew what targets/torchscript/releases.py reads."""
    lines = [
        "# What releases of PyTorch have, by their own lists of operators, and which operators they ran as the release",
        "# does that wrote the file. Written by benchmarks/oldest_torch.py.",
        f"tried = {json.dumps(list(RELEASES))}",
        "operators = [",
        *textwrap.wrap(
            ", ".join(map(json.dumps, sorted(ran))), 108, initial_indent="  ", subsequent_indent="  "
        ),
        "]",
    ]
    schemas = {release: each["schemas"] for release, each in said.items()}
    for release, operators in since(schemas).items():
        lines += ["", f"[since.{json.dumps(release)}]"]
        lines += [f"{json.dumps(name)} = {count}" for name, count in operators.items()]
    releases.TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def is_right(answer: dict[str, Any]) -> bool:
    return bool(answer.get("db", -1.0) >= SAME_DB)


def report(said: dict[str, dict[str, Any]], needed: dict[str, releases.Needs]) -> dict[str, Any]:
    """By release: how many files it answers, which not; and where that is not as edgepack tells."""
    found: dict[str, Any] = {}
    for release, each in said.items():
        wrong = {name: answer for name, answer in each["models"].items() if not is_right(answer)}
        can = {
            name
            for name, need in needed.items()
            if releases.as_numbers(need.release) <= releases.as_numbers(release)
        }
        found[release] = {
            "files": len(each["models"]),
            "answered": len(each["models"]) - len(wrong),
            "exactly": sum(answer.get("db") == 300 for answer in each["models"].values()),
            "not_answered": {name: answer.get("error", answer.get("db")) for name, answer in wrong.items()},
            "told_otherwise": sorted(can & set(wrong)),
        }
    return found


def renew(files: Path, said: dict[str, dict[str, Any]]) -> None:
    """Write the table anew, from what the releases say and from what ran right in all that have what it needs."""
    here = subprocess.run(
        [sys.executable, str(HERE / "replay_ptl.py"), str(files)], capture_output=True, text=True, check=True
    )
    schemas = {**said, releases.running(): json.loads(here.stdout)}
    write_table(schemas, ran=())
    archives = {file.stem: read(file.read_bytes()) for file in files.glob("*.ptl")}
    failed = {name for each in report(said, needs(archives)).values() for name in each["told_otherwise"]}
    write_table(
        schemas, {op for name, archive in archives.items() if name not in failed for op in names(archive)}
    )


def needs(archives: dict[str, Archive]) -> dict[str, releases.Needs]:
    releases.table.cache_clear()
    return {name: releases.needs(archive) for name, archive in archives.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cache", type=Path)
    parser.add_argument("--write", action="store_true", help="renew targets/torchscript/releases.toml")
    options = parser.parse_args()
    torch.manual_seed(7)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        pack(files)
        said = {release: replay(release, files, options.cache.resolve()) for release in RELEASES}
        if options.write:
            renew(files, said)
        found = report(said, needs({file.stem: read(file.read_bytes()) for file in files.glob("*.ptl")}))
    print(json.dumps(found, indent=2))
    sys.exit(any(each["told_otherwise"] for each in found.values()))


if __name__ == "__main__":
    main()
